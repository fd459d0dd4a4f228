"""Kafka's jars: locked versions and hashes, downloaded once into the user's cache."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from stamina.instrumentation import set_on_retry_hooks

from heartstream.embedded_kafka.maven import user_repository_url
from runtime.http import without_password
from schemas.errors import DependencyError
from training.data.dataset import RemoteFile
from training.data.download import FetchPolicy, FileRefusedError, SourceUnreachableError, fetch, is_cached
from training.data.download import Progress as OnProgress

_POLICY: Final = FetchPolicy(connect_timeout=10.0, read_timeout=30.0, deadline=600.0, parallel=8)


def locked_jars() -> tuple[RemoteFile, ...]:
    """Read the lock file; `requirements/jars.sh` writes it."""
    lines = files("heartstream.embedded_kafka").joinpath("jars.lock").read_text("utf-8").splitlines()
    return tuple(_jar(*line.split()) for line in lines)


def _jar(coordinates: str, size: str, sha256: str) -> RemoteFile:
    """Return a jar with its path in every Maven repository as its name."""
    group, artifact, version = coordinates.split(":")
    return RemoteFile(f"{group.replace('.', '/')}/{artifact}/{version}/{artifact}-{version}.jar", int(size), sha256)


def jars_folder() -> Path:
    """Return the folder of the jars, laid out as a Maven repository."""
    return user_cache_path("heartstream") / "kafka" / "jars"


def fetch_jars(folder: Path, configured_repository: str = "", jars: Sequence[RemoteFile] = ()) -> list[Path]:
    """Download missing jars to `folder`, and verify them; returns the paths of all locked jars.

    Raises DependencyError, with advice, if a jar cannot be downloaded.
    """
    jars = jars or locked_jars()
    missing = [jar for jar in jars if not is_cached(folder, jar)]
    if missing:
        url = user_repository_url(configured_repository)
        set_on_retry_hooks([])  # one line about a failure is enough
        try:
            with _progress(missing, folder) as progress:
                fetch(folder, base_url=url, files=missing, policy=_POLICY, progress=progress)
        except (SourceUnreachableError, FileRefusedError) as error:
            raise DependencyError(_advice(without_password(url), folder, error)) from error
    return [folder / jar.name for jar in jars]


def _advice(url: str, folder: Path, error: DependencyError) -> str:
    return "\n  ".join(
        (
            f"cannot download Apache Kafka for the embedded broker from {url}: {error}",
            "Do one of these:",
            "- set a Maven repository that this machine can reach, for example your company's mirror:",
            "  HEARTSTREAM_EMBEDDED_KAFKA__MAVEN_REPOSITORY=https://HOST/PATH, or a mirror in ~/.m2/settings.xml",
            "- run `heartstream demo --download-only` on a machine that can reach one, and copy the jars to",
            f"  {folder}",
            "- use an existing broker: HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=HOST:PORT",
            "- run Kafka in Docker: `heartstream demo --broker docker`",
        )
    )


@contextmanager
def _progress(jars: Sequence[RemoteFile], folder: Path) -> Iterator[OnProgress]:
    """Show one progress bar for all jars on a terminal; elsewhere print a line."""
    console, total = Console(stderr=True), sum(jar.size for jar in jars)
    if not console.is_terminal:
        sys.stderr.write(f"heartstream: downloading Apache Kafka ({len(jars)} jars, {total >> 20} MiB) to {folder}\n")
    columns = (TextColumn("downloading Apache Kafka"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task, received = bar.add_task("jars", total=total), dict.fromkeys((jar.name for jar in jars), 0)

        def on_progress(jar: RemoteFile, count: int) -> None:
            received[jar.name] = count
            bar.update(task, completed=sum(received.values()))

        yield on_progress
