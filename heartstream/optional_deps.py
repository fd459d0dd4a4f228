"""Which extra to install when a command needs a library that serving does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import SettingsError
from schemas.extras import install_command


@contextmanager
def train_extra() -> Iterator[None]:
    """Name the extra `train` when one of its libraries is missing. Raises SettingsError."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError((f"{error.name} is not installed: {install_command('train')}",)) from error


@contextmanager
def files_extra() -> Iterator[None]:
    """Name the extra `files` when the library for CSV, Parquet and Zstandard is missing. Raises SettingsError."""
    try:
        yield
    except ModuleNotFoundError as error:
        needed = f"{error.name} is not installed (NDJSON, also as .gz, needs no library)"
        raise SettingsError((f"{needed}: {install_command('files')}",)) from error
