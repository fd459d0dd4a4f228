"""`heartstream model`: check and sign model directories."""

from __future__ import annotations

import sys
from pathlib import Path

from cyclopts import App

from heartstream.exit_codes import errors_to_exit_codes
from heartstream.printable import printable
from schemas.errors import DependencyError

app = App(name="model", help="Check and sign model directories.")


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
