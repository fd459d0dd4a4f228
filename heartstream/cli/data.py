"""`heartstream data`: the public training data."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cyclopts import App

from heartstream.cli.options import Flag
from heartstream.optional_deps import train_extra
from heartstream.terminal.exit_codes import FAILED, errors_to_exit_codes

if TYPE_CHECKING:
    from training.data.dataset import RemoteFile
    from training.data.download import FetchedFile, Progress

_FALLBACK: Final = "using the bundled snapshot, which has the same bytes"

app = App(name="data", help="Get the UCI Heart Disease data.")


@app.command
def fetch(
    *,
    dest: Path | None = None,
    base_url: str | None = None,
    offline: Flag = False,
) -> None:
    """Download the four processed files of UCI Heart Disease, and verify the size and SHA-256 of each.

    Training does not need this: heartstream includes a snapshot of the same rows. Existing files are not downloaded
    again. If the network is unavailable, the files are written from the snapshot.

    Example: heartstream data fetch --dest data && heartstream train --data-dir data

    Exit codes: 0 all files present and verified; 1 the server sent something other than the published file (existing
    files are kept); 78 invalid settings.

    Args:
        dest: Folder for the files; by default the user's cache folder.
        base_url: URL of the folder of the files; by default UCI's.
        offline: Do not use the network.
    """
    with errors_to_exit_codes():
        with train_extra():
            import training.data.download as source  # noqa: PLC0415  # httpx is in the train extra only
        folder = dest or source.cache_folder()
        try:
            files = _unpack(folder, "offline") if offline else _download(folder, base_url)
        except source.FileRefusedError as error:
            sys.stderr.write(f"heartstream: {error}\n")
            raise SystemExit(FAILED) from error
        for fetched in files:
            size, path = fetched.file.size, fetched.path
            sys.stdout.write(f"{fetched.file.name:<27}{size:>6} bytes  verified  {fetched.origin:<17}  {path}\n")


@app.command
def patients() -> None:
    """Print the 920 patients of the snapshot as CSV: sample input for the other commands.

    Example: heartstream data patients > patients.csv && heartstream score patients.csv -o scores.ndjson

    Exit codes: 0 printed; 78 the extra train is not installed.
    """
    with errors_to_exit_codes():
        with train_extra():
            from heartstream.demo.patients import real_patients  # noqa: PLC0415  # pandas is in the train extra only

            records = real_patients()  # imports pandas, too
        writer = csv.DictWriter(sys.stdout, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        sys.stdout.flush()


def _download(folder: Path, base_url: str | None) -> tuple[FetchedFile, ...]:
    """Fetch every file, or unpack the snapshot if the server is unreachable."""
    from stamina.instrumentation import set_on_retry_hooks  # noqa: PLC0415  # train extra only

    from training.data.dataset import BASE_URL  # noqa: PLC0415  # serving images do not contain training
    from training.data.download import SourceUnreachableError, fetch  # noqa: PLC0415  # train extra only

    set_on_retry_hooks([])  # one line about a failure is enough
    try:
        with _progress_bar() as progress:
            return fetch(folder, base_url=base_url or BASE_URL, progress=progress)
    except SourceUnreachableError as error:
        return _unpack(folder, str(error))


def _unpack(folder: Path, reason: str) -> tuple[FetchedFile, ...]:
    """Write missing files from the snapshot, and say so in one line."""
    from training.data.download import Origin, unpack_snapshot  # noqa: PLC0415  # train extra only

    files = unpack_snapshot(folder)
    if any(fetched.origin is Origin.SNAPSHOT for fetched in files):
        sys.stderr.write(f"heartstream: {reason}: {_FALLBACK}\n")
    return files


@contextmanager
def _progress_bar() -> Iterator[Progress]:
    """Show one progress bar per file on a terminal; show nothing elsewhere."""
    from rich.console import Console  # noqa: PLC0415  # train extra only
    from rich.progress import Progress as Bar  # noqa: PLC0415  # train extra only

    from training.data.dataset import UCI_FILES  # noqa: PLC0415  # serving images do not contain training

    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {file.name: bar.add_task(file.name, total=file.size) for file in UCI_FILES}

        def progress(file: RemoteFile, received: int) -> None:
            bar.update(tasks[file.name], completed=received)

        yield progress
