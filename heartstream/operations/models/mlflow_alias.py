"""Promotes the model version that an MLflow alias points to, once or continuously."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from heartstream.operations.models.store import Store
from heartstream.terminal.printable import printable
from heartstream.terminal.tables import print_wrapped
from schemas.errors import ArtifactError, DataError, DependencyError
from scoring.isolated_load import VerifiedModel
from training.tracking.mlflow_registry import MlflowRegistry, ModelVersion


def promote_registered(
    store: Store, registry: MlflowRegistry, version: ModelVersion, public_key: Path | None, approved_by: str = ""
) -> VerifiedModel:
    """Fetch a registered version and promote it. Raises ArtifactError or DependencyError."""
    with TemporaryDirectory(prefix="heartstream-") as folder:
        return store.promote(registry.fetch(version, Path(folder)), version.uri, public_key, approved_by)


def follow(store: Store, registry: MlflowRegistry, uri: str, public_key: Path | None, every: float) -> None:
    """Promote each version that the alias points to, until the process ends.

    A version is tried once: after a refusal or a rollback, it is not promoted until the alias has pointed to another
    one. An unreachable registry, or an invalid change-control plan, is tried again.
    """
    history = store.history()
    tried = next((change.source for change in reversed(history) if change.source.startswith(_versions(uri))), None)
    unreachable = ""
    while True:
        try:
            version = registry.find(uri)
            if version.uri != tried:
                _try(store, registry, version, public_key)
                tried = version.uri
            unreachable = ""
        except (DataError, DependencyError) as error:
            if str(error) != unreachable:
                unreachable = str(error)
                sys.stderr.write(printable(f"{unreachable}; retrying every {every:g} s\n"))
        time.sleep(every)


def _try(store: Store, registry: MlflowRegistry, version: ModelVersion, public_key: Path | None) -> None:
    """Promote a version, and print the result."""
    try:
        model = promote_registered(store, registry, version, public_key).model
    except ArtifactError as error:
        sys.stderr.write(printable(f"refused {version.uri}: {error}\n"))
    else:
        print_wrapped(printable(f"promoted {version.uri}: {model.name} {model.version} ({model.digest})"), "  ")


def _versions(uri: str) -> str:
    """Return the prefix of the URIs of this model's versions."""
    return uri.partition("@")[0] + "/"
