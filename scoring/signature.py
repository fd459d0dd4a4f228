"""Ed25519 signatures of manifests, in a file next to the manifest.

The manifest has the SHA-256 of every other file, so that its signature covers all of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from schemas.errors import ArtifactError
from schemas.extras import install_command
from scoring.files import read_file

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SIGNATURE_FILE: Final = "manifest.json.sig"


def verify(folder: Path, manifest: bytes, public_key: bytes) -> None:
    """Raise ArtifactError unless `folder` holds a signature of these bytes by the owner of the key (PEM)."""
    key = _public(public_key)
    try:
        signature = read_file(folder / SIGNATURE_FILE)
    except OSError as error:
        raise ArtifactError(f"the model at {folder} is not signed: cannot read {SIGNATURE_FILE}") from error
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415  # only where a key is configured

    try:
        key.verify(signature, manifest)
    except InvalidSignature as error:
        raise ArtifactError(
            f"{folder / SIGNATURE_FILE} is not a signature of the manifest by the configured key"
        ) from error


def sign(manifest: bytes, private_key: bytes) -> bytes:
    """Return the signature of these bytes by a private key (PEM, not encrypted). Raises ArtifactError."""
    return _private(private_key).sign(manifest)


def _public(pem: bytes) -> Ed25519PublicKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415  # as above
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415  # as above
    except ImportError as error:
        raise _not_installed() from error
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise ArtifactError("the public key is not a PEM file") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ArtifactError("the public key is not an Ed25519 key")
    return key


def _private(pem: bytes) -> Ed25519PrivateKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415  # as above
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415  # as above
    except ImportError as error:
        raise _not_installed() from error
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise ArtifactError("the private key is not a PEM file, or is encrypted") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ArtifactError("the private key is not an Ed25519 key")
    return key


def _not_installed() -> ArtifactError:
    return ArtifactError(f"signatures need cryptography: {install_command('signing')}")
