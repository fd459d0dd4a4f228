"""Promoting what an alias of MLflow's registry names, once or again and again."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from heartstream.operations.models.store import Store
from heartstream.terminal.printable import printable
from heartstream.terminal.tables import print_line
from schemas.errors import ArtifactError, DependencyError
from scoring.candidate import Proof
from training.tracking.mlflow_registry import Registry, Version


def promote_registered(store: Store, registry: Registry, version: Version, public_key: Path | None) -> Proof:
    """Fetch a registered version and promote it. Raises ArtifactError or DependencyError."""
    with TemporaryDirectory(prefix="heartstream-") as folder:
        return store.promote(registry.fetch(version, Path(folder)), version.uri, public_key)


def follow(store: Store, registry: Registry, uri: str, public_key: Path | None, every: float) -> None:
    """Promote each version that the alias comes to name, until the process is ended.

    A version is tried once: one that was refused, or that somebody has rolled back, stays so until the alias names
    another. What cannot be reached is asked again.
    """
    history = store.history()
    tried = next((change.source for change in reversed(history) if change.source.startswith(_versions(uri))), None)
    away = ""
    while True:
        try:
            version = registry.find(uri)
            if version.uri != tried:
                _try(store, registry, version, public_key)
                tried = version.uri
            away = ""
        except DependencyError as error:
            if str(error) != away:
                away = str(error)
                sys.stderr.write(printable(f"{away}; asked again every {every:g} s\n"))
        time.sleep(every)


def _try(store: Store, registry: Registry, version: Version, public_key: Path | None) -> None:
    """Promote a version, and tell what became of it."""
    try:
        model = promote_registered(store, registry, version, public_key).model
    except ArtifactError as error:
        sys.stderr.write(printable(f"refused {version.uri}: {error}\n"))
    else:
        print_line(printable(f"promoted {version.uri}: {model.name} {model.version} ({model.digest})"))


def _versions(uri: str) -> str:
    """Return how the addresses of this model's versions begin."""
    return uri.partition("@")[0] + "/"
