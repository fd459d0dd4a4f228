"""What to say where a command needs libraries that a serving process does without."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from schemas.errors import SettingsError


@contextmanager
def train_extra() -> Iterator[None]:
    """Say what to install where the libraries for training are not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise SettingsError((f"{error.name} is not installed: pip install 'heartstream[train]'",)) from error


@contextmanager
def files_extra() -> Iterator[None]:
    """Say what to install where the library for CSV, Parquet and Zstandard is not there."""
    try:
        yield
    except ModuleNotFoundError as error:
        problem = (
            f"{error.name} is not installed: pip install 'heartstream[files]' (NDJSON, also as .gz, needs nothing)"
        )
        raise SettingsError((problem,)) from error
