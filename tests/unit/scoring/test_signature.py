"""If a public key is configured, only a model that its owner signed is served, byte for byte."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as new_curve_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.main import run as run_gateway
from heartstream.cli.model import check, sign
from runtime.settings import Settings
from schemas.errors import ArtifactError, SettingsError
from scoring.isolated_load import verify_model
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
    """It is loaded in this process and in a child process."""
    assert load(signed, public_key=keys.public.read_bytes()).model.version == "test"
    assert verify_model(signed, None, keys.public).engine == "linear"
    check(signed, public_key=keys.public)
    assert "verified, signed" in capsys.readouterr().out


def test_unsigned_model_is_refused(model_dir: Path, keys: Keys) -> None:
    """A valid model without a signature is not served."""
    assert "is not signed: cannot read manifest.json.sig" in refusal(model_dir, keys.public)


def test_signature_by_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    """A signature is valid for one key only."""
    assert "is not a signature of the manifest by the configured key" in refusal(signed, Keys(tmp_path, "other").public)


def test_changed_manifest_is_refused(signed: Path, keys: Keys) -> None:
    """A file that was replaced together with its digest in the manifest is detected by the signature."""
    content = b"something else"
    (signed / "best_model.joblib").write_bytes(content)
    change_manifest(signed, lambda manifest: manifest["files"].update({"best_model.joblib": measured(content)}))
    assert "is not a signature of the manifest" in refusal(signed, keys.public)


@pytest.mark.parametrize("name", [MANIFEST_FILE, SIGNATURE_FILE, "pattern_submodels.json", "preprocessor.joblib"])
def test_one_changed_byte_is_detected(name: str, signed: Path, keys: Keys) -> None:
    """In any file."""
    change_byte(signed / name)
    message = refusal(signed, keys.public)
    assert "is not a signature" in message or f"{name}: has" in message


@pytest.mark.parametrize("content", [b"", b"no key"], ids=["empty", "text"])
def test_invalid_key_file_is_reported(content: bytes, signed: Path, tmp_path: Path) -> None:
    """An invalid key file does not disable the verification."""
    (tmp_path / "bad.pub").write_bytes(content)
    assert "the public key is not a PEM file" in refusal(signed, tmp_path / "bad.pub")


def test_key_of_another_algorithm_is_refused(signed: Path, tmp_path: Path) -> None:
    """Only Ed25519 keys are accepted."""
    pem = new_curve_key(SECP256R1()).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "other.pub").write_bytes(pem)
    assert "not an Ed25519 key" in refusal(signed, tmp_path / "other.pub")


def test_invalid_model_is_not_signed(signed: Path, keys: Keys) -> None:
    """Files that do not match the manifest get no signature."""
    (signed / SIGNATURE_FILE).unlink()
    change_byte(signed / "pattern_submodels.json")
    with pytest.raises(SystemExit) as caught:
        sign(signed, key=keys.private)
    assert (caught.value.code, (signed / SIGNATURE_FILE).exists()) == (65, False)


def test_signing_does_not_follow_links(signed: Path, keys: Keys, tmp_path: Path) -> None:
    """A link in place of the signature is replaced; its target stays unchanged."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (signed / SIGNATURE_FILE).unlink()
    (signed / SIGNATURE_FILE).symlink_to(victim)
    sign(signed, key=keys.private)
    assert (victim.read_text(), load(signed, public_key=keys.public.read_bytes()).model.version) == ("precious", "test")


def test_pipe_for_a_signature_is_refused(signed: Path, keys: Keys) -> None:
    """A named pipe, which would block forever, is not read."""
    (signed / SIGNATURE_FILE).unlink()
    os.mkfifo(signed / SIGNATURE_FILE)
    assert "is not signed: cannot read manifest.json.sig" in refusal(signed, keys.public)


@pytest.mark.parametrize("start", [create_app, run_gateway], ids=["worker", "gateway"])
def test_worker_and_gateway_refuse_unsigned_models(start, model_dir: Path, keys: Keys) -> None:  # type: ignore[no-untyped-def]
    """With a key configured, neither starts with an unsigned model or an unreadable key."""
    environ = {"HEARTSTREAM_MODEL__PATH": str(model_dir), "HEARTSTREAM_MODEL__PUBLIC_KEY": str(keys.public)}
    with pytest.raises(ArtifactError, match="is not signed"):
        start(Settings.from_mapping(environ))
    with pytest.raises(SettingsError, match="MODEL__PUBLIC_KEY: cannot read the file"):
        start(Settings.from_mapping({**environ, "HEARTSTREAM_MODEL__PUBLIC_KEY": str(model_dir / "none")}))
