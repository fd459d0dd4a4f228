"""`heartstream model`: import, check, sign and promote models."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number

from heartstream.cli.model_import import import_
from heartstream.cli.options import Flag
from heartstream.optional_deps import train_extra
from heartstream.terminal.exit_codes import errors_to_exit_codes
from heartstream.terminal.printable import printable
from heartstream.terminal.signals import until_stopped
from heartstream.terminal.tables import print_line, print_list, print_wrapped, terminal_width
from schemas.errors import DependencyError

if TYPE_CHECKING:
    from heartstream.operations.models.store import StoredModel
    from scoring.isolated_load import VerifiedModel

_STORE: Final = Path("models")
_MLFLOW: Final = Path("mlflow")

app = App(name="model", help="Import, check, sign and promote models.")
app.command(import_, name="import")


@app.command
def check(folder: Path, /, *, name: str | None = None, public_key: Path | None = None) -> None:
    """Load and verify a model in a separate process, with limits on memory and time, as a worker does.

    Every file must have the SHA-256 of the manifest, and the engine must reproduce scikit-learn's risks for 1,024
    records. A pickle, which can run code, is opened only if no fast engine serves the model and the model is signed.

    Example: heartstream model check model --public-key model.pub

    Exit codes: 0 verified; 65 refused, with every reason.

    Args:
        folder: The model directory.
        name: One of its models; by default the best one.
        public_key: PEM file; the model must be signed with its private key.
    """
    with errors_to_exit_codes():
        from scoring.isolated_load import verify_model  # noqa: PLC0415  # --help should not wait for numpy

        verified = verify_model(folder, name, public_key)
        signed = "signed" if public_key else "signature not checked"
        model = verified.model
        summary = f"{model.name} {model.version} ({model.digest}): verified, {signed}\nengine: {verified.engine}"
        because = f", because {verified.fallback_reason}" if verified.fallback_reason else ""
        for line in f"{summary}{because}".splitlines():
            print_wrapped(printable(line), "  ")


@app.command
def sign(folder: Path, /, *, key: Path) -> None:
    """Sign a model directory: write manifest.json.sig, which covers every file in the manifest.

    A worker or gateway with HEARTSTREAM_MODEL__PUBLIC_KEY serves only signed models. Create keys with OpenSSL:
    openssl genpkey -algorithm ed25519 -out ~/model.key && openssl pkey -in ~/model.key -pubout -out model.pub

    Example: heartstream model sign model --key ~/model.key

    Exit codes: 0 signed; 65 model or key refused; 69 a file cannot be read or written.

    Args:
        folder: The model directory; its files are verified first.
        key: Unencrypted Ed25519 private key, PEM file.
    """
    with errors_to_exit_codes():
        from scoring import signature  # noqa: PLC0415  # as above
        from scoring.model_artifact import MANIFEST_FILE, load  # noqa: PLC0415  # as above

        load(folder)
        try:
            signed = signature.sign((folder / MANIFEST_FILE).read_bytes(), key.read_bytes())
            target = folder / signature.SIGNATURE_FILE
            # Delete it first, so that a symbolic link is not followed.
            target.unlink(missing_ok=True)
            with target.open("xb") as file:
                file.write(signed)
        except OSError as error:
            raise DependencyError(f"cannot sign {folder}: {error.filename}: {error.strerror}") from error
        sys.stdout.write(f"signed {folder / MANIFEST_FILE}\n")


@app.command(name="list")
def list_(*, store: Path = _STORE, json: Flag = False) -> None:
    """List the models of a store, most recently promoted first; * marks the served one.

    Example: heartstream model list --store models

    Exit codes: 0 listed; 65 a model is damaged; 69 no such store.

    Args:
        store: The model store.
        json: Print a JSON array.
    """
    with errors_to_exit_codes():
        from heartstream.operations.models.store import Store  # noqa: PLC0415  # --help should not wait for numpy

        models = Store(store).models()
        if json:
            sys.stdout.write(msgspec.json.encode(models).decode() + "\n")
            return
        _print_models(models)


@app.command
def promote(
    model: str,
    /,
    *,
    store: Path = _STORE,
    public_key: Path | None = None,
    approved_by: str = "",
    mlflow_dir: Path = _MLFLOW,
) -> None:
    """Promote a model: workers and gateways serve the one that the link `current` of a store names.

    The model is copied into the store under its digest and verified there, in a separate process; then the link is
    replaced atomically. A refused model changes nothing. If the store has a change-plan.toml, a change that it does not
    allow is refused, by name of the rule, unless a person approves it (docs/models.md).

    Set HEARTSTREAM_MODEL__PATH=models/current and HEARTSTREAM_MODEL__RELOAD_INTERVAL_SECONDS=10 to reload it without a
    restart.

    Example: heartstream model promote model --store models

    Example: heartstream model promote model --store models --approved-by "Dr. Rivera"

    Exit codes: 0 promoted; 65 model or plan refused; 69 MLflow or store unavailable; 78 invalid settings.

    Args:
        model: A model directory, the start of a digest in the store, or models:/heartstream@champion in MLflow.
        store: The model store; created if missing.
        public_key: PEM file; the model must be signed with its private key.
        approved_by: Who approves a change that the store's plan does not allow; the store's history keeps the name.
        mlflow_dir: Folder of the local MLflow store; MLFLOW_TRACKING_URI takes precedence.
    """
    with errors_to_exit_codes():
        from heartstream.operations.models.store import Store  # noqa: PLC0415  # as above

        chosen = Store(store)
        if model.startswith("models:/"):
            with train_extra():
                from heartstream.operations.models.mlflow_alias import promote_registered  # noqa: PLC0415  # an extra
                from training.tracking.mlflow_registry import MlflowRegistry  # noqa: PLC0415  # an extra

                registry = MlflowRegistry(mlflow_dir)
                verified = promote_registered(chosen, registry, registry.find(model), public_key, approved_by)
        else:
            found = Path(model) if Path(model).exists() else chosen.find(model)
            verified = chosen.promote(found, model, public_key, approved_by)
        _print_served(chosen.folder, verified)


@app.command
def rollback(*, store: Path = _STORE, public_key: Path | None = None) -> None:
    """Serve the previously promoted model again. With signed = true in the store's change-plan.toml, that needs a key.

    Example: heartstream model rollback --store models

    Exit codes: 0 rolled back; 65 no previous model, or it is refused; 69 store unavailable.

    Args:
        store: The model store.
        public_key: PEM file; the model must be signed with its private key.
    """
    with errors_to_exit_codes():
        from heartstream.operations.models.store import Store  # noqa: PLC0415  # as above

        chosen = Store(store)
        _print_served(chosen.folder, chosen.rollback(public_key))


@app.command
def follow(
    alias: str = "models:/heartstream@champion",
    /,
    *,
    store: Path = _STORE,
    public_key: Path | None = None,
    every: Annotated[float, Parameter(validator=Number(gt=0))] = 60.0,
    mlflow_dir: Path = _MLFLOW,
) -> None:
    """Promote every model version that an MLflow alias points to, until stopped. One process is enough for all workers.

    A version that is refused or rolled back is not promoted again until the alias has pointed to another one. A version
    that the store's change-plan.toml does not allow is refused, and the model in use stays.

    Example: heartstream model follow models:/heartstream@champion --store models --every 30

    Exit codes: 0 stopped; 78 invalid settings.

    Args:
        alias: The alias, models:/NAME@ALIAS.
        store: The model store; created if missing.
        public_key: PEM file; models must be signed with its private key.
        every: Polling interval in seconds.
        mlflow_dir: Folder of the local MLflow store; MLFLOW_TRACKING_URI takes precedence.
    """
    with errors_to_exit_codes(), train_extra():
        from heartstream.operations.models.mlflow_alias import follow as follow_alias  # noqa: PLC0415  # an extra
        from heartstream.operations.models.store import Store  # noqa: PLC0415  # as above
        from training.tracking.mlflow_registry import MlflowRegistry  # noqa: PLC0415  # an extra

        with until_stopped():
            follow_alias(Store(store), MlflowRegistry(mlflow_dir), alias, public_key, every)


def _print_models(models: Sequence[StoredModel]) -> None:
    """Print one line per model; on a terminal, promotions to the minute, and several lines if one does not fit."""
    terminal = terminal_width()
    time_end = len("2026-01-31T12:00") if terminal else None
    headings = ("", "digest", "version", "best model", "rows", "signed", "promoted (UTC)")
    rows = [
        (
            "*" if model.is_current else "",
            model.digest,
            printable(model.version),
            printable(model.best),
            str(model.rows),
            "yes" if model.is_signed else "no",
            (model.promoted or "never").removesuffix("+00:00")[:time_end],
        )
        for model in models
    ]
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    if terminal and sum(widths) + 2 * len(widths) - 2 > terminal:
        print_list(headings[2:], [(f"{digest} {served}", *others) for served, digest, *others in rows], terminal)
        return
    for row in (headings, *rows):
        print_line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_served(store: Path, verified: VerifiedModel) -> None:
    model = verified.model
    print_wrapped(printable(f"{store / 'current'} is {model.name} {model.version} ({model.digest})"), "  ")
