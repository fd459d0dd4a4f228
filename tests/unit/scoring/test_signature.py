"""With a key configured, only what its owner signed is served, to the last byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_curve_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.process import run as run_gateway
from heartstream.cli.model import check, sign
from runtime.settings import Settings
from schemas.errors import ArtifactError, SettingsError
from scoring.isolated_load import prove
from scoring.model_artifact import MANIFEST_FILE, load
from scoring.signature import SIGNATURE_FILE
from tests.support.model_files import change_byte, change_manifest, measured
from tests.support.signing_keys import Keys
from worker.bootstrap import create_app


def refusal(folder: Path, public: Path) -> str:
    with pytest.raises(ArtifactError) as caught:
        load(folder, public_key=public.read_bytes())
    return str(caught.value)


def test_signed_model_is_served(signed: Path, keys: Keys, capsys: pytest.CaptureFixture[str]) -> None:
    """What was signed is loaded, here and in a process of its own."""
    assert load(signed, public_key=keys.public.read_bytes()).model.version == "test"
    assert prove(signed, None, keys.public).engine == "linear"
    check(signed, public_key=keys.public)
    assert "verified, signed" in capsys.readouterr().out


def test_unsigned_model_is_refused(model_dir: Path, keys: Keys) -> None:
    """A model without a signature is sound, and is not served all the same."""
    assert "is not signed: cannot read manifest.json.sig" in refusal(model_dir, keys.public)


def test_key_of_somebody_else_is_refused(signed: Path, tmp_path: Path) -> None:
    """A signature counts for one key alone."""
    assert "is no signature of the manifest by the configured key" in refusal(signed, Keys(tmp_path, "other").public)


def test_changed_manifest_is_refused(signed: Path, keys: Keys) -> None:
    """A file that was swapped together with its digest in the manifest is found by the signature."""
    content = b"something else"
    (signed / "best_model.joblib").write_bytes(content)
    change_manifest(signed, lambda manifest: manifest["files"].update({"best_model.joblib": measured(content)}))
    assert "is no signature of the manifest" in refusal(signed, keys.public)


@pytest.mark.parametrize("name", [MANIFEST_FILE, SIGNATURE_FILE, "pattern_submodels.json", "preprocessor.joblib"])
def test_one_byte_is_enough(name: str, signed: Path, keys: Keys) -> None:
    """A byte that differs, in any file, is found."""
    change_byte(signed / name)
    told = refusal(signed, keys.public)
    assert "is no signature" in told or f"{name}: has" in told


@pytest.mark.parametrize("content", [b"", b"no key"], ids=["empty", "text"])
def test_what_is_no_key_is_told(content: bytes, signed: Path, tmp_path: Path) -> None:
    """A key file that holds no key is named as that, and is no reason to serve without."""
    (tmp_path / "bad.pub").write_bytes(content)
    assert "the public key is no PEM file" in refusal(signed, tmp_path / "bad.pub")


def test_key_of_another_kind_is_told(signed: Path, tmp_path: Path) -> None:
    """A key of another algorithm is not taken."""
    pem = new_curve_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "other.pub").write_bytes(pem)
    assert "not of Ed25519" in refusal(signed, tmp_path / "other.pub")


def test_broken_model_is_not_signed(signed: Path, keys: Keys) -> None:
    """Files that are not the manifest's are no model, and get no signature."""
    (signed / SIGNATURE_FILE).unlink()
    change_byte(signed / "pattern_submodels.json")
    with pytest.raises(SystemExit) as caught:
        sign(signed, key=keys.private)
    assert (caught.value.code, (signed / SIGNATURE_FILE).exists()) == (65, False)


def test_signing_writes_through_no_link(signed: Path, keys: Keys, tmp_path: Path) -> None:
    """A link that waits where the signature goes is replaced; what it leads to stays as it was."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (signed / SIGNATURE_FILE).unlink()
    (signed / SIGNATURE_FILE).symlink_to(victim)
    sign(signed, key=keys.private)
    assert (victim.read_text(), load(signed, public_key=keys.public.read_bytes()).model.version) == ("precious", "test")


def test_pipe_for_a_signature_is_refused(signed: Path, keys: Keys) -> None:
    """Where reading would never end, nothing is read."""
    (signed / SIGNATURE_FILE).unlink()
    os.mkfifo(signed / SIGNATURE_FILE)
    assert "is not signed: cannot read manifest.json.sig" in refusal(signed, keys.public)


@pytest.mark.parametrize("start", [create_app, run_gateway], ids=["worker", "gateway"])
def test_worker_and_gateway_refuse_unsigned_models(start, model_dir: Path, keys: Keys) -> None:  # type: ignore[no-untyped-def]
    """With a key configured, neither starts with a model that is not signed, nor with a key that is not there."""
    environ = {"HEARTSTREAM_MODEL__PATH": str(model_dir), "HEARTSTREAM_MODEL__PUBLIC_KEY": str(keys.public)}
    with pytest.raises(ArtifactError, match="is not signed"):
        start(Settings.from_mapping(environ))
    with pytest.raises(SettingsError, match="MODEL__PUBLIC_KEY: cannot read the file"):
        start(Settings.from_mapping({**environ, "HEARTSTREAM_MODEL__PUBLIC_KEY": str(model_dir / "none")}))
