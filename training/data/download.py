"""Downloads the published files, verified and within a deadline; on failure the old file stays.

Servers may be unreachable, answer with an error, truncate or change a file, or send it endlessly slowly. Only transient
failures are retried.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
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
from training.data.dataset import BASE_URL, SITES, UCI_FILES, RemoteFile, published_file

Progress = Callable[[RemoteFile, int], None]
"""Called with a file and the number of bytes received; 0 at the start of an attempt."""

_EXCESS_BYTES: Final = 1_000_000
"""A response is read at most this far beyond the expected size."""


class FetchPolicy(msgspec.Struct, frozen=True):
    """Timeouts and retries, in seconds. The largest of UCI's files has 18 kB.

    `deadline` covers one file with all its attempts: a server that sends single bytes never runs into the timeouts.
    `parallel` is the number of concurrent downloads.
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


class FetchedFile(msgspec.Struct, frozen=True):
    """A verified file on disk, and its origin."""

    file: RemoteFile
    path: Path
    origin: Origin


class SourceUnreachableError(DependencyError):
    """The server is unreachable, too slow, or fails."""


class FileRefusedError(DependencyError):
    """The server answered with other content than the published file."""


class _TruncatedError(Exception):
    """The connection ended before the body was complete."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.body = body


def cache_folder() -> Path:
    """Return the user's cache folder for downloads."""
    return user_cache_path("heartstream") / "uci"


def is_intact(file: RemoteFile, content: bytes) -> bool:
    """Return whether `content` is exactly the published file."""
    return len(content) == file.size and hashlib.sha256(content).hexdigest() == file.sha256


def is_cached(folder: Path, file: RemoteFile) -> bool:
    """Return whether `folder` holds the published file."""
    try:
        return is_intact(file, (folder / file.name).read_bytes())
    except OSError:
        return False


def unpack_snapshot(folder: Path) -> tuple[FetchedFile, ...]:
    """Write every published file to `folder` from the snapshot, without a network.

    Raises SettingsError for an unwritable folder.
    """
    fetched = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for site, file in zip(SITES, UCI_FILES, strict=True):
            origin = Origin.CACHE
            if not is_cached(folder, file):
                write_atomically(folder / file.name, published_file(site))
                origin = Origin.SNAPSHOT
            fetched.append(FetchedFile(file, folder / file.name, origin))
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
) -> tuple[FetchedFile, ...]:
    """Download the files that `folder` does not hold yet. A file's name may be a relative path.

    Blocks until all are complete or one fails; cannot be called from a running event loop. Raises
    SourceUnreachableError, FileRefusedError (both are DependencyError), and SettingsError for an unusable URL or
    folder. Only a verified file replaces an existing one.
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
) -> tuple[FetchedFile, ...]:
    timeout = httpx.Timeout(policy.read_timeout, connect=policy.connect_timeout)
    url = httpx.URL(base_url if base_url.endswith("/") else f"{base_url}/")
    slots = asyncio.Semaphore(policy.parallel)

    async def fetched(file: RemoteFile) -> FetchedFile:
        path = folder / file.name
        if is_cached(folder, file):
            return FetchedFile(file, path, Origin.CACHE)
        async with slots:
            content = await _download(client, url.join(file.name), file, policy, progress)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
        return FetchedFile(file, path, Origin.SERVER)

    async with httpx.AsyncClient(timeout=timeout, follow_redirects=True, verify=trusted_certificates()) as client:
        downloads = [asyncio.create_task(fetched(file)) for file in files]
        try:
            return tuple(await asyncio.gather(*downloads))
        finally:
            for download in downloads:
                download.cancel()
            await asyncio.gather(*downloads, return_exceptions=True)


def trusted_certificates() -> ssl.SSLContext:
    """Return a TLS context with httpx's own certificates and the system's, where a company proxy's CA is installed."""
    context = httpx.create_ssl_context()
    context.load_default_certs()
    return context


async def _download(
    client: httpx.AsyncClient, url: httpx.URL, file: RemoteFile, policy: FetchPolicy, progress: Progress
) -> bytes:
    """Return the verified content of one file; the deadline covers all attempts, including name lookup."""
    try:
        async with asyncio.timeout(policy.deadline):
            content = await _get_with_retries(client, url, file, policy, progress)
    except TimeoutError as error:
        raise SourceUnreachableError(f"{file.name}: not complete after {policy.deadline:g} s") from error
    except _TruncatedError as error:
        raise _refused(file, error.body) from error
    except httpx.HTTPError as error:
        kind = SourceUnreachableError if _is_transient(error) else FileRefusedError
        raise kind(f"{file.name}: {_describe(error)}") from error
    if not is_intact(file, content):
        raise _refused(file, content)
    return content


def _describe(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"the server answered with status {error.response.status_code}"
    return f"{type(error).__name__} {error}".rstrip()


def _refused(file: RemoteFile, content: bytes) -> FileRefusedError:
    size = len(content)
    return FileRefusedError(
        f"{file.name} refused: arrived with {size} bytes and SHA-256 {hashlib.sha256(content).hexdigest()}, "
        f"expected {file.size} bytes and SHA-256 {file.sha256}"
    )


async def _get_with_retries(
    client: httpx.AsyncClient, url: httpx.URL, file: RemoteFile, policy: FetchPolicy, progress: Progress
) -> bytes:
    attempts = stamina.retry_context(
        on=_is_transient,
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
            raise _TruncatedError(bytes(body)) from error
    return bytes(body)


def _is_transient(error: Exception) -> bool:
    """Return whether a retry may help: a network failure, or status 429 or 5xx."""
    if isinstance(error, httpx.HTTPStatusError):
        status = error.response.status_code
        return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return isinstance(error, (httpx.TransportError, _TruncatedError))
