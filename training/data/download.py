"""Download the published files: all of a file and exactly that file, within a deadline, or the old one stays.

A server can fail in every way here: not be there, answer with an error, cut a file short, change it, or send it a byte
at a time for ever. Only what may pass by itself is tried again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from enum import StrEnum
from http import HTTPStatus
from pathlib import Path
from typing import Final

import httpx
import msgspec
import stamina
from platformdirs import user_cache_path

from runtime.files import write_atomically
from schemas.errors import DependencyError, SettingsError
from training.data.dataset import BASE_URL, SITES, UCI_FILES, RemoteFile, published

Progress = Callable[[RemoteFile, int], None]
"""Called with a file and how many of its bytes have arrived; 0 when a try begins."""

_EXCESS_BYTES: Final = 1_000_000
"""A body is not read further than this beyond the expected size."""


class FetchPolicy(msgspec.Struct, frozen=True):
    """How patient to be, in seconds. The largest file has 18 kB: what takes longer than this is not going to come.

    `deadline` is for one file with all its tries: a server that sends a byte now and then never runs into the timeouts.
    `parallel` is how many files are downloaded at the same time.
    """

    connect_timeout: float = 5.0
    read_timeout: float = 10.0
    deadline: float = 60.0
    tries: int = 3
    first_wait: float = 0.5
    longest_wait: float = 5.0
    parallel: int = 1


DEFAULT_POLICY: Final = FetchPolicy()


class Origin(StrEnum):
    """Where a verified file came from."""

    CACHE = "already there"
    SERVER = "downloaded"
    SNAPSHOT = "from the snapshot"


class Fetched(msgspec.Struct, frozen=True):
    """A verified file on disk, and where it came from."""

    file: RemoteFile
    path: Path
    origin: Origin


class SourceUnreachableError(DependencyError):
    """The server cannot be reached, does not finish in time, or says that it is out of order."""


class FileRefusedError(DependencyError):
    """The server answered, but not with the published file."""


class _BodyCutError(Exception):
    """The connection ended before the body did."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body


def cache_folder() -> Path:
    """Return the folder for downloads that the platform has for this user."""
    return user_cache_path("heartstream") / "uci"


def is_whole(file: RemoteFile, content: bytes) -> bool:
    """Say whether `content` is exactly the published file."""
    return len(content) == file.size and hashlib.sha256(content).hexdigest() == file.sha256


def is_cached(folder: Path, file: RemoteFile) -> bool:
    """Say whether `folder` holds the published file."""
    try:
        return is_whole(file, (folder / file.name).read_bytes())
    except OSError:
        return False


def unpack_snapshot(folder: Path) -> tuple[Fetched, ...]:
    """Make `folder` hold every published file without a network: the snapshot gives the same bytes.

    Raises SettingsError for a folder that cannot be written.
    """
    fetched = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for site, file in zip(SITES, UCI_FILES, strict=True):
            origin = Origin.CACHE
            if not is_cached(folder, file):
                write_atomically(folder / file.name, published(site))
                origin = Origin.SNAPSHOT
            fetched.append(Fetched(file, folder / file.name, origin))
    except OSError as error:
        raise _unwritable(folder, error) from error
    return tuple(fetched)


def _unwritable(folder: Path, error: OSError) -> SettingsError:
    return SettingsError((f"cannot write to {folder}: {error.strerror}",))


def fetch(
    folder: Path,
    *,
    base_url: str = BASE_URL,
    files: Sequence[RemoteFile] = UCI_FILES,
    policy: FetchPolicy = DEFAULT_POLICY,
    progress: Progress = lambda _file, _received: None,
) -> tuple[Fetched, ...]:
    """Make `folder` hold every file, downloading those that it does not hold already. A file's name may be a path.

    Blocks until all are there or one fails; cannot be called from a running event loop. Raises SourceUnreachableError,
    FileRefusedError (both are DependencyError), and SettingsError for a URL or folder that cannot be used. A file is
    replaced only by its verified successor.
    """
    if not base_url.startswith(("http://", "https://")):
        raise SettingsError(("the base URL must begin with http:// or https://",))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return asyncio.run(_fetch_all(folder, base_url, files, policy, progress))
    except httpx.InvalidURL as error:
        raise SettingsError((f"the base URL cannot be used: {error}",)) from error
    except OSError as error:
        raise _unwritable(folder, error) from error


async def _fetch_all(
    folder: Path, base_url: str, files: Sequence[RemoteFile], policy: FetchPolicy, progress: Progress
) -> tuple[Fetched, ...]:
    timeout = httpx.Timeout(policy.read_timeout, connect=policy.connect_timeout)
    url = httpx.URL(base_url if base_url.endswith("/") else f"{base_url}/")
    turns = asyncio.Semaphore(policy.parallel)

    async def fetched(file: RemoteFile) -> Fetched:
        path = folder / file.name
        if is_cached(folder, file):
            return Fetched(file, path, Origin.CACHE)
        async with turns:
            content = await _download(client, url.join(file.name), file, policy, progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        return Fetched(file, path, Origin.SERVER)

    async with httpx.AsyncClient(timeout=timeout, follow_redirects=True) as client:
        downloads = [asyncio.create_task(fetched(file)) for file in files]
        try:
            return tuple(await asyncio.gather(*downloads))
        finally:
            for download in downloads:
                download.cancel()
            await asyncio.gather(*downloads, return_exceptions=True)


async def _download(
    client: httpx.AsyncClient, url: httpx.URL, file: RemoteFile, policy: FetchPolicy, progress: Progress
) -> bytes:
    """Return the verified content of one file; the deadline holds over all tries, headers and name lookup included."""
    try:
        async with asyncio.timeout(policy.deadline):
            content = await _try_again(client, url, file, policy, progress)
    except TimeoutError as error:
        raise SourceUnreachableError(f"{file.name}: not complete after {policy.deadline:g} s") from error
    except _BodyCutError as error:
        raise _refused(file, error.body) from error
    except httpx.HTTPError as error:
        kind = SourceUnreachableError if _may_pass(error) else FileRefusedError
        raise kind(f"{file.name}: {_told(error)}") from error
    if not is_whole(file, content):
        raise _refused(file, content)
    return content


def _told(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answered with status {error.response.status_code}"
    return f"{type(error).__name__} {error}".rstrip()


def _refused(file: RemoteFile, content: bytes) -> FileRefusedError:
    size = len(content)
    return FileRefusedError(
        f"{file.name} refused: arrived with {size} bytes and SHA-256 {hashlib.sha256(content).hexdigest()}, "
        f"expected {file.size} bytes and SHA-256 {file.sha256}"
    )


async def _try_again(
    client: httpx.AsyncClient, url: httpx.URL, file: RemoteFile, policy: FetchPolicy, progress: Progress
) -> bytes:
    attempts = stamina.retry_context(
        on=_may_pass,
        attempts=policy.tries,
        timeout=policy.deadline,
        wait_initial=policy.first_wait,
        wait_max=policy.longest_wait,
        wait_jitter=policy.first_wait,
    )
    async for attempt in attempts:
        with attempt:
            return await _get(client, url, file, progress)
    raise AssertionError  # stamina raises the last error


async def _get(client: httpx.AsyncClient, url: httpx.URL, file: RemoteFile, progress: Progress) -> bytes:
    body = bytearray()
    progress(file, 0)
    async with client.stream("GET", url) as response:
        response.raise_for_status()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                progress(file, len(body))
                if len(body) > file.size + _EXCESS_BYTES:
                    break
        except httpx.RemoteProtocolError as error:
            raise _BodyCutError(bytes(body)) from error
    return bytes(body)


def _may_pass(error: Exception) -> bool:
    """Say whether trying again may help: the network failed, or the server says that it is busy or out of order."""
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, (httpx.TransportError, _BodyCutError))
