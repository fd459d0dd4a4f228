"""An untrusted model is verified in a child process and cannot harm the process that verifies it."""

from __future__ import annotations

import json
import os
import select
import time
from pathlib import Path

import pytest

from heartstream.cli.model import check, sign
from schemas.errors import ArtifactError
from scoring.isolated_load import verify_model
from scoring.model_artifact import PREPROCESSOR_FILE
from tests.support.model_files import Runs, change_byte, change_manifest, pickled, replace_file, with_only_pickles
from tests.support.signing_keys import Keys


def signed(folder: Path, keys: Keys, pickle: object) -> Path:
    """Sign it: its makers are hostile, or were deceived."""
    sign(with_only_pickles(folder, pickle), key=keys.private)
    return folder


def has_ended(process: int) -> bool:
    """Return whether a process ends within a minute."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 60)[0])
    finally:
        os.close(descriptor)


def test_valid_model_is_verified(folder: Path) -> None:
    """The child process reports the model, its engine and the fallback reason."""
    verified = verify_model(folder, "random_forest")
    assert (verified.model.name, verified.engine, verified.fallback_reason) == ("random_forest", "onnx", None)


def test_refusal_contains_every_reason_of_the_child(folder: Path) -> None:
    """Every reason reaches the parent."""
    change_byte(folder / "random_forest.onnx")
    change_manifest(folder, lambda manifest: manifest.update(threshold=7))
    with pytest.raises(ArtifactError, match=r"threshold does not lie .* random_forest\.onnx: has"):
        verify_model(folder)


def test_pickle_is_not_opened_if_a_fast_engine_serves(folder: Path, tmp_path: Path) -> None:
    """A pickle that would run a shell command is never opened, although the manifest has its digest."""
    replace_file(folder, PREPROCESSOR_FILE, pickled(Runs(os.system, f"touch {tmp_path / 'sprung'}")))
    assert verify_model(folder).engine == "linear"
    assert not (tmp_path / "sprung").exists()


def test_unsigned_pickle_is_not_opened(folder: Path, tmp_path: Path) -> None:
    """A model that only its pickles can serve is refused unopened, although the manifest has their digests."""
    hostile = with_only_pickles(folder, Runs(os.system, f"touch {tmp_path / 'sprung'}"))
    with pytest.raises(ArtifactError, match="because no public key is configured: sign the model"):
        verify_model(hostile)
    assert not (tmp_path / "sprung").exists()


def test_pickle_signed_with_another_key_is_not_opened(folder: Path, tmp_path: Path, keys: Keys) -> None:
    """A signature by another key is invalid."""
    hostile = signed(folder, Keys(tmp_path, "other"), Runs(os.system, f"touch {tmp_path / 'sprung'}"))
    with pytest.raises(ArtifactError, match="is not a signature of the manifest by the configured key"):
        verify_model(hostile, None, keys.public)
    assert not (tmp_path / "sprung").exists()


def test_model_cannot_forge_its_verification(folder: Path) -> None:
    """A pickle that would print the child's success message and exit is not opened."""
    model = {"name": "pattern_submodels", "version": "1", "digest": "0"}
    forged = (
        f"""{{"type":"verified","verified":{{"model":{json.dumps(model)},"engine":"linear","fallback_reason":null}}}}"""
    )
    script = f"import os; os.write(1, {forged.encode()!r}); os._exit(0)"
    with pytest.raises(ArtifactError, match="its pickles are not loaded"):
        verify_model(with_only_pickles(folder, Runs(exec, script)))


def test_signed_pickles_are_opened(folder: Path, keys: Keys) -> None:
    """If no fast engine can serve a signed model, scikit-learn does, and the reason is reported."""
    replace_file(folder, "pattern_submodels.json", b"{}")
    sign(folder, key=keys.private)
    verified = verify_model(folder, None, keys.public)
    assert (verified.engine, "missing required field" in str(verified.fallback_reason)) == ("sklearn", True)


def test_crash_of_the_child_is_a_refusal(folder: Path, keys: Keys) -> None:
    """A pickle that exits ends only the child, and the parent reports its exit code."""
    with pytest.raises(ArtifactError, match=r"ended with code 7"):
        verify_model(signed(folder, keys, Runs(os._exit, 7)), None, keys.public)


def test_memory_of_the_child_is_limited(folder: Path, keys: Keys) -> None:
    """A pickle that allocates 8 GiB fails, and the model is refused."""
    with pytest.raises(ArtifactError, match="MemoryError"):
        verify_model(signed(folder, keys, Runs(bytearray, 8 << 30)), None, keys.public)


def test_time_of_the_child_is_limited(folder: Path, keys: Keys) -> None:
    """A pickle that sleeps for an hour is killed at the time limit."""
    with pytest.raises(ArtifactError, match="did not load in 3 seconds"):
        verify_model(signed(folder, keys, Runs(time.sleep, 3600)), None, keys.public, seconds=3)


def test_output_of_the_child_is_limited(folder: Path, keys: Keys) -> None:
    """A pickle that writes endlessly is stopped after a megabyte."""
    endless = "import os\nwhile True: os.write(2, b'x' * 65536)"
    with pytest.raises(ArtifactError, match="File too large"):
        verify_model(signed(folder, keys, Runs(exec, endless)), None, keys.public)


def test_processes_of_the_child_are_killed_with_it(folder: Path, tmp_path: Path, keys: Keys) -> None:
    """A background process neither blocks the parent nor survives."""
    started = tmp_path / "started"
    with pytest.raises(ArtifactError, match="fails on reference cases"):
        verify_model(signed(folder, keys, Runs(os.system, f"sleep 3600 & echo $! > {started}")), None, keys.public)
    assert has_ended(int(started.read_text()))


def test_child_does_not_inherit_the_environment(
    folder: Path, tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets in the parent's environment are not visible to it."""
    monkeypatch.setenv("HEARTSTREAM_KAFKA__OPTIONS__SASL_PASSWORD", "zqx")
    seen = tmp_path / "seen"
    with pytest.raises(ArtifactError):
        verify_model(signed(folder, keys, Runs(os.system, f"env > {seen}")), None, keys.public)
    assert "zqx" not in seen.read_text()


def test_child_does_not_import_from_the_working_directory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file in the current directory that is named like one of our packages is not imported."""
    (tmp_path / "scoring.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    assert verify_model(folder).engine == "linear"


def test_check_command_exits_with_0_or_65(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It prints the engine, or the reason for the refusal."""
    check(folder)
    assert "engine: linear" in capsys.readouterr().out
    change_byte(folder / "pattern_submodels.json")
    with pytest.raises(SystemExit) as caught:
        check(folder)
    assert caught.value.code == 65
    assert "pattern_submodels.json: has" in capsys.readouterr().err


def test_control_characters_of_a_manifest_are_escaped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A manifest cannot move the cursor or clear the screen of a terminal."""
    change_manifest(folder, lambda manifest: manifest.update(model_version="1\x1b[2J"))
    check(folder)
    change_manifest(folder, lambda manifest: manifest.update(schema="\x1b[2J", best="\x9b2J"))
    with pytest.raises(SystemExit):
        check(folder)
    printed = capsys.readouterr()
    assert ("\\x1b[2J" in printed.out, "\\x1b[2J" in printed.err) == (True, True)
    assert [each for each in printed.out + printed.err if not each.isprintable() and each != "\n"] == []
