"""Where the MLflow store is, by one rule for every command: MLFLOW_TRACKING_URI, else SQLite in a folder.

MLflow is told the same before it is asked: parts of it, such as `models:/` addresses, go by its global store alone,
whatever a client was given.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from runtime.files import locked
from runtime.http import without_password
from schemas.errors import DependencyError, SettingsError

VARIABLE: Final = "MLFLOW_TRACKING_URI"
_FILE: Final = "mlflow.db"
_QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""MLflow neither reports home, nor installs log handlers, nor prints the store's address with its password."""


class MlflowStore(msgspec.Struct, frozen=True):
    """A tracking store; `folder` has it where no address is named, None where one is."""

    uri: str
    folder: Path | None

    @classmethod
    def at(cls, folder: Path) -> MlflowStore:
        """Return the store that MLFLOW_TRACKING_URI names, else the one in `folder`, which need not be there yet.

        Raises SettingsError where a file is in its place.
        """
        if named := os.environ.get(VARIABLE):
            return cls(named, None)
        folder = folder.resolve()
        if folder.exists() and not folder.is_dir():
            raise SettingsError((f"{folder} is a file; --mlflow-dir names a folder",))
        return cls(f"sqlite:///{folder / _FILE}", folder)

    @property
    def shown(self) -> str:
        """The address, fit to be printed."""
        return without_password(self.uri)

    @property
    def artifacts(self) -> str | None:
        """Where a new experiment keeps its artifacts; None lets the store decide."""
        return None if self.folder is None else (self.folder / "artifacts").as_uri()

    @contextmanager
    def in_use(self, *, create: bool = False) -> Iterator[None]:
        """Let MLflow's clients, by default, ask this store, and raise DependencyError where it fails.

        A store of a folder that is not there yet is made with `create`, else it is an error.
        """
        exists = self.folder is None or (self.folder / _FILE).exists()
        if not (exists or create):
            raise DependencyError(
                f"no MLflow store in {self.folder}, and {VARIABLE} names none: heartstream train makes one, "
                "and --mlflow-dir names another folder"
            )
        settings = {**_QUIET, **os.environ, VARIABLE: self.uri}
        with warnings.catch_warnings(), _environment(settings):
            # MLflow warns of its own code, when it is imported and later.
            warnings.simplefilter("ignore")
            from alembic.util import CommandError  # noqa: PLC0415  # slow import, as MLflow's
            from mlflow.exceptions import MlflowException  # noqa: PLC0415  # slow import
            from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415  # slow import

            try:
                if not exists:
                    self._create()
                yield
            except (SQLAlchemyError, CommandError) as error:
                raise DependencyError(f"MLflow at {self.shown}: {_reason(error)}{self._remedy()}") from error
            except (MlflowException, OSError, ImportError) as error:
                raise DependencyError(f"MLflow at {self.shown}: {error}") from error

    def _create(self) -> None:
        """Make the store beside its place and move it there whole: an interrupted migration cannot resume."""
        from mlflow import MlflowClient  # noqa: PLC0415  # slow import

        if self.folder is None:
            raise AssertionError("a store that is named elsewhere is not made here")
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder), TemporaryDirectory(dir=self.folder, prefix=".new-") as scratch:
            if not (self.folder / _FILE).exists():
                MlflowClient(f"sqlite:///{Path(scratch) / _FILE}").search_experiments(max_results=1)
                (Path(scratch) / _FILE).rename(self.folder / _FILE)

    def _remedy(self) -> str:
        if self.folder is None:
            return ""
        return (
            f". If creating or upgrading it was interrupted, restore your copy of {self.folder / _FILE}, or move that "
            "file away: heartstream train then makes a new one"
        )


def _reason(error: Exception) -> str:
    """Return what the database said, without the statement that it was given."""
    return str(getattr(error, "orig", None) or error).splitlines()[0]


@contextmanager
def _environment(settings: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in settings.keys() - before.keys():
            del os.environ[name]
