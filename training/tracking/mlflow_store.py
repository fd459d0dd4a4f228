"""Locates the MLflow store, by one rule for all commands: MLFLOW_TRACKING_URI, else SQLite in a folder.

The same is set globally while MLflow is used: parts of it, such as `models:/` URIs, ignore the client's store.
"""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.error import HTTPError

import msgspec

from runtime.files import locked
from runtime.http import fetch, reason_of, without_password
from runtime.waiting import waiting_for
from schemas.errors import DependencyError, SettingsError

VARIABLE: Final = "MLFLOW_TRACKING_URI"
_FILE: Final = "mlflow.db"
_ANSWER_SECONDS: Final = 10.0
_LARGEST_PAGE: Final = 10_000_000
_SERVER_ERROR: Final = 500
_QUIET: Final = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""No telemetry, no log handlers, and no printed store URI with its password."""


class MlflowStore(msgspec.Struct, frozen=True):
    """A tracking store; `folder` is None if MLFLOW_TRACKING_URI names the store."""

    uri: str
    folder: Path | None

    @classmethod
    def at(cls, folder: Path) -> MlflowStore:
        """Return the store that MLFLOW_TRACKING_URI names, else the one in `folder`, which need not exist yet.

        Raises SettingsError if `folder` is a file.
        """
        if named := os.environ.get(VARIABLE):
            return cls(named, None)
        folder = folder.resolve()
        if folder.exists() and not folder.is_dir():
            raise SettingsError((f"{folder} is a file; --mlflow-dir names a folder",))
        return cls(f"sqlite:///{folder / _FILE}", folder)

    @property
    def shown(self) -> str:
        """The URI without password, for messages."""
        return without_password(self.uri)

    @property
    def artifacts(self) -> str | None:
        """The artifact location of a new experiment; None for the store's default."""
        return None if self.folder is None else (self.folder / "artifacts").as_uri()

    def check_server(self) -> None:
        """Raise DependencyError if a server is named and does not answer: MLflow retries for minutes, in silence."""
        if not self.uri.startswith(("http://", "https://")):
            return
        try:
            with waiting_for(f"MLflow at {self.shown}"):
                fetch(f"{self.shown.rstrip('/')}/health", seconds=_ANSWER_SECONDS, largest=_LARGEST_PAGE)
        except OSError as error:
            if isinstance(error, HTTPError):
                error.close()
                if error.code < _SERVER_ERROR:
                    return
            # MLflow has its own settings for certificates.
            if not isinstance(getattr(error, "reason", error), ssl.SSLError):
                because = f"({reason_of(error)}): start it, or set {VARIABLE} to another"
                raise DependencyError(f"MLflow at {self.shown} does not answer {because}") from error

    @contextmanager
    def in_use(self, *, create: bool = False) -> Iterator[None]:
        """Make this the default store of MLflow's clients, and raise its failures as DependencyError.

        A missing store in a folder is created with `create`, otherwise it is an error.
        """
        self.check_server()
        exists = self.folder is None or (self.folder / _FILE).exists()
        if not (exists or create):
            raise DependencyError(
                f"no MLflow store in {self.folder}, and {VARIABLE} names none: heartstream train makes one, "
                "and --mlflow-dir names another folder"
            )
        settings = {**_QUIET, **os.environ, VARIABLE: self.uri}
        with warnings.catch_warnings(), _environment(settings):
            # MLflow emits warnings about its own code.
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
        """Create the store in a temporary folder and move it into place: an interrupted migration cannot resume."""
        from mlflow import MlflowClient  # noqa: PLC0415  # slow import

        if self.folder is None:
            raise AssertionError("only a store in a folder is created")
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
    """Return the database's message, without the SQL statement."""
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
