"""`heartstream model`: check and sign model directories, and choose the one that is served."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from cyclopts import App, Parameter
from cyclopts.validators import Number

from heartstream.cli.options import DEFAULT_TEXT_OPTIONS, Flag, LabelledOptions
from heartstream.optional_deps import train_extra
from heartstream.terminal.exit_codes import errors_to_exit_codes
from heartstream.terminal.printable import printable
from heartstream.terminal.signals import until_stopped
from schemas.errors import DependencyError

if TYPE_CHECKING:
    from scoring.candidate import Proof

_STORE: Final = Path("models")
_MLFLOW: Final = Path("mlflow")

app = App(name="model", help="Check and sign model directories, and choose the one that is served.")


@app.command
def check(folder: Path, /, *, name: str | None = None, public_key: Path | None = None) -> None:
    """Load and prove a model in a process of its own, with limits on memory and time, as a worker would.

    Every file must have the manifest's SHA-256, and the engine must reproduce scikit-learn's risks of 1,024 records.
    Pickles are opened only where no fast engine serves the model and it is signed: opening one runs what it says.

    Example: heartstream model check model --public-key model.pub

    Exit codes: 0 sound; 65 refused, with all that is wrong.

    Args:
        folder: The model directory.
        name: One of its models; the one that training called best if it is left out.
        public_key: PEM file; the model must have been signed with its private key.
    """
    with errors_to_exit_codes():
        from scoring.candidate import prove  # noqa: PLC0415  # --help should not wait for numpy

        proof = prove(folder, name, public_key)
        signed = "signed" if public_key else "signature not checked"
        told = (
            f"{proof.model.name} {proof.model.version} ({proof.model.digest}): sound, {signed}\nengine: {proof.engine}"
        )
        because = f", because {proof.fallback_reason}" if proof.fallback_reason else ""
        sys.stdout.write(printable(f"{told}{because}\n"))


@app.command
def sign(folder: Path, /, *, key: Path) -> None:
    """Sign a model directory: writes manifest.json.sig, which covers every file that the manifest lists.

    A worker or gateway with HEARTSTREAM_MODEL__PUBLIC_KEY serves no other. Keys are made by OpenSSL:
    openssl genpkey -algorithm ed25519 -out model.key && openssl pkey -in model.key -pubout -out model.pub

    Example: heartstream model sign model --key model.key

    Exit codes: 0 signed; 65 the model or the key is refused; 69 a file cannot be read or written.

    Args:
        folder: The model directory; its files are verified first.
        key: Private key, PEM, Ed25519, not encrypted.
    """
    with errors_to_exit_codes():
        from scoring import signature  # noqa: PLC0415  # as above
        from scoring.artifact import MANIFEST_FILE, load  # noqa: PLC0415  # as above

        load(folder)
        try:
            signed = signature.sign((folder / MANIFEST_FILE).read_bytes(), key.read_bytes())
            target = folder / signature.SIGNATURE_FILE
            # Whatever was there goes, so that a link is not written through.
            target.unlink(missing_ok=True)
            with target.open("xb") as file:
                file.write(signed)
        except OSError as error:
            raise DependencyError(f"cannot sign {folder}: {error.filename}: {error.strerror}") from error
        sys.stdout.write(f"signed {folder / MANIFEST_FILE}\n")


@app.command
def recalibrate(  # a command's options
    folder: Path,
    /,
    *,
    output: Annotated[Path, Parameter(name=("--output", "-o"))],
    data: Path | None = None,
    outcomes: Flag = False,
    name: str | None = None,
    public_key: Path | None = None,
    options: LabelledOptions = DEFAULT_TEXT_OPTIONS,
) -> None:
    """Shift the log-odds of a linear model by known outcomes, as far as is certain; write a new model directory.

    Needs 100 outcomes of both kinds, and refuses where a shift might make risks worse (docs/drift.md). The new
    directory holds the shifted model alone, says in its card and in recalibration.json what was done to what, and is
    then signed and promoted like any other. Opens the model's pickle: give the public key, or trust who made it.

    Example: heartstream model recalibrate model --data my-hospital.csv -o recalibrated

    Example: heartstream model recalibrate model --data old.csv --encoding cp1252 -o recalibrated

    Exit codes: 0 written; 65 the model or the data is refused, or nothing is to be shifted; 69 the data or the topics
    cannot be read; 78 bad settings, or the libraries for training are not installed.

    Args:
        folder: The model directory.
        output: The new one.
        data: Labelled patients, as for heartstream evaluate.
        outcomes: Take scores of this model and outcomes from the topics, as heartstream outcomes does.
        name: One of its models; the one that training called best if it is left out.
        public_key: PEM file; the model must have been signed with its private key.
        options: How the file of labelled patients is written, as for heartstream score.
    """
    with errors_to_exit_codes(), train_extra():
        from heartstream.operations.models.recalibration import recalibrated  # noqa: PLC0415  # an extra

        sys.stdout.write(
            printable(recalibrated(folder, output, data, name, public_key, from_topics=outcomes, options=options))
        )


@app.command(name="list")
def list_(*, store: Path = _STORE, json: Flag = False) -> None:
    """List the models of a store, the one promoted last first; * is the one that is served.

    Example: heartstream model list --store models

    Exit codes: 0 listed; 65 a model of it is damaged; 69 there is no store.

    Args:
        store: The folder of models.
        json: Print a JSON array instead.
    """
    with errors_to_exit_codes():
        from heartstream.operations.models.store import Store  # noqa: PLC0415  # --help should not wait for numpy

        models = Store(store).kept()
        if json:
            sys.stdout.write(msgspec.json.encode(models).decode() + "\n")
            return
        rows = [("", "digest", "version", "best model", "rows", "signed", "promoted (UTC)")]
        for model in models:
            signed, promoted = "yes" if model.is_signed else "no", (model.promoted or "never").removesuffix("+00:00")
            served = "*" if model.is_current else ""
            rows.append((served, model.digest, model.version, model.best, str(model.rows), signed, promoted))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            sys.stdout.write(printable(line.rstrip()) + "\n")


@app.command
def promote(model: str, /, *, store: Path = _STORE, public_key: Path | None = None, mlflow_dir: Path = _MLFLOW) -> None:
    """Let workers and gateways serve a model: they follow the link `current` of a store.

    The model is copied into the store under its digest and proved there, in a process of its own; then the link moves,
    in one step. A model that is refused changes nothing. Set HEARTSTREAM_MODEL__PATH=models/current and
    HEARTSTREAM_MODEL__FOLLOW_SECONDS=10 to follow it without a restart.

    Example: heartstream model promote model --store models

    Exit codes: 0 promoted; 65 the model is refused; 69 MLflow or the store cannot be used; 78 bad settings.

    Args:
        model: A model directory, the beginning of a digest of the store, or models:/heartstream@champion in MLflow.
        store: The folder of models; it is made if it is not there.
        public_key: PEM file; the model must have been signed with its private key.
        mlflow_dir: Folder of the local MLflow store; MLFLOW_TRACKING_URI goes before it.
    """
    with errors_to_exit_codes():
        from heartstream.operations.models.store import Store  # noqa: PLC0415  # as above

        chosen = Store(store)
        if model.startswith("models:/"):
            with train_extra():
                from heartstream.operations.models.mlflow_alias import promote_registered  # noqa: PLC0415  # an extra
                from training.tracking.mlflow_registry import Registry  # noqa: PLC0415  # an extra

                registry = Registry(mlflow_dir)
                proof = promote_registered(chosen, registry, registry.find(model), public_key)
        else:
            proof = chosen.promote(Path(model) if Path(model).exists() else chosen.find(model), model, public_key)
        _tell_served(chosen.folder, proof)


@app.command
def rollback(*, store: Path = _STORE, public_key: Path | None = None) -> None:
    """Let the model be served again that was promoted before the current one.

    Example: heartstream model rollback --store models

    Exit codes: 0 done; 65 there is none, or it is refused; 69 the store cannot be used.

    Args:
        store: The folder of models.
        public_key: PEM file; the model must have been signed with its private key.
    """
    with errors_to_exit_codes():
        from heartstream.operations.models.store import Store  # noqa: PLC0415  # as above

        chosen = Store(store)
        _tell_served(chosen.folder, chosen.rollback(public_key))


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
    """Promote each model that an alias in MLflow comes to name, until stopped. One such process serves all workers.

    A version that is refused, or that was rolled back, is not tried again until the alias names another.

    Example: heartstream model follow models:/heartstream@champion --store models --every 30

    Exit codes: 0 stopped; 78 bad settings.

    Args:
        alias: What to follow, models:/NAME@ALIAS.
        store: The folder of models; it is made if it is not there.
        public_key: PEM file; models must have been signed with its private key.
        every: How often MLflow is asked, in seconds.
        mlflow_dir: Folder of the local MLflow store; MLFLOW_TRACKING_URI goes before it.
    """
    with errors_to_exit_codes(), train_extra():
        from heartstream.operations.models.mlflow_alias import follow as follow_alias  # noqa: PLC0415  # an extra
        from heartstream.operations.models.store import Store  # noqa: PLC0415  # as above
        from training.tracking.mlflow_registry import Registry  # noqa: PLC0415  # an extra

        with until_stopped():
            follow_alias(Store(store), Registry(mlflow_dir), alias, public_key, every)


def _tell_served(store: Path, proof: Proof) -> None:
    model = proof.model
    sys.stdout.write(printable(f"{store / 'current'} is {model.name} {model.version} ({model.digest})\n"))
