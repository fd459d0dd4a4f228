"""A model that is not trusted yet cannot hurt the process that asks about it."""

from __future__ import annotations

import json
import os
import select
import time
from pathlib import Path

import pytest

from heartstream.cli.model import check, sign
from schemas.errors import ArtifactError
from scoring.isolated_load import prove
from scoring.model_artifact import PREPROCESSOR_FILE
from tests.support.model_files import Runs, change_byte, change_manifest, pickled, replace_file, with_only_pickles
from tests.support.signing_keys import Keys


def signed(folder: Path, keys: Keys, pickle: object) -> Path:
    """Return the same, signed: its makers are hostile, or were deceived."""
    sign(with_only_pickles(folder, pickle), key=keys.private)
    return folder


def has_ended(process: int) -> bool:
    """Say whether a process ends within a minute."""
    try:
        descriptor = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 60)[0])
    finally:
        os.close(descriptor)


def test_sound_model_is_proved(folder: Path) -> None:
    """The child says what the parent would find."""
    proof = prove(folder, "random_forest")
    assert (proof.model.name, proof.engine, proof.fallback_reason) == ("random_forest", "onnx", None)


def test_refusal_is_told_as_the_child_tells_it(folder: Path) -> None:
    """Every reason reaches the parent."""
    change_byte(folder / "random_forest.onnx")
    change_manifest(folder, lambda manifest: manifest.update(threshold=7))
    with pytest.raises(ArtifactError, match=r"threshold does not lie .* random_forest\.onnx: has"):
        prove(folder)


def test_shell_command_in_a_pickle_is_not_run_where_a_fast_engine_serves(folder: Path, tmp_path: Path) -> None:
    """A pickle that would run a shell command is never opened, though the manifest has its digest."""
    replace_file(folder, PREPROCESSOR_FILE, pickled(Runs(os.system, f"touch {tmp_path / 'sprung'}")))
    assert prove(folder).engine == "linear"
    assert not (tmp_path / "sprung").exists()


def test_shell_command_that_nobody_signed_is_not_run(folder: Path, tmp_path: Path) -> None:
    """A model that only its pickles can serve is refused, and they stay shut, though the manifest has their digests."""
    hostile = with_only_pickles(folder, Runs(os.system, f"touch {tmp_path / 'sprung'}"))
    with pytest.raises(ArtifactError, match="because no public key says who signed them: sign the model"):
        prove(hostile)
    assert not (tmp_path / "sprung").exists()


def test_shell_command_that_somebody_else_signed_is_not_run(folder: Path, tmp_path: Path, keys: Keys) -> None:
    """A signature by another key is none."""
    hostile = signed(folder, Keys(tmp_path, "other"), Runs(os.system, f"touch {tmp_path / 'sprung'}"))
    with pytest.raises(ArtifactError, match="is no signature of the manifest by the configured key"):
        prove(hostile, None, keys.public)
    assert not (tmp_path / "sprung").exists()


def test_model_cannot_say_of_itself_that_it_is_sound(folder: Path) -> None:
    """A pickle that would write a proof in the child's name and end it does not get to."""
    proof = {"name": "pattern_submodels", "version": "1", "digest": "0"}
    forged = f"""{{"type":"proof","proof":{{"model":{json.dumps(proof)},"engine":"linear","fallback_reason":null}}}}"""
    script = f"import os; os.write(1, {forged.encode()!r}); os._exit(0)"
    with pytest.raises(ArtifactError, match="its pickles are not opened"):
        prove(with_only_pickles(folder, Runs(exec, script)))


def test_signed_pickles_are_opened(folder: Path, keys: Keys) -> None:
    """Where no fast engine serves, what was signed is served by scikit-learn, and the reason is told."""
    replace_file(folder, "pattern_submodels.json", b"{}")
    sign(folder, key=keys.private)
    proof = prove(folder, None, keys.public)
    assert (proof.engine, "missing required field" in str(proof.fallback_reason)) == ("sklearn", True)


def test_crash_of_the_child_is_a_refusal(folder: Path, keys: Keys) -> None:
    """A pickle that ends its process ends the child's, and the parent says so."""
    with pytest.raises(ArtifactError, match=r"ended with code 7"):
        prove(signed(folder, keys, Runs(os._exit, 7)), None, keys.public)


def test_memory_of_the_child_is_limited(folder: Path, keys: Keys) -> None:
    """A pickle that asks for 8 GiB gets none, and the model is refused."""
    with pytest.raises(ArtifactError, match="MemoryError"):
        prove(signed(folder, keys, Runs(bytearray, 8 << 30)), None, keys.public)


def test_time_of_the_child_is_limited(folder: Path, keys: Keys) -> None:
    """A pickle that sleeps for an hour is ended when the time is up."""
    with pytest.raises(ArtifactError, match="did not load in 3 seconds"):
        prove(signed(folder, keys, Runs(time.sleep, 3600)), None, keys.public, seconds=3)


def test_output_of_the_child_is_limited(folder: Path, keys: Keys) -> None:
    """A pickle that writes without end is told to stop after a megabyte: the parent reads no more."""
    endless = "import os\nwhile True: os.write(2, b'x' * 65536)"
    with pytest.raises(ArtifactError, match="File too large"):
        prove(signed(folder, keys, Runs(exec, endless)), None, keys.public)


def test_nothing_that_the_child_started_outlives_it(folder: Path, tmp_path: Path, keys: Keys) -> None:
    """A process left in the background neither holds the parent up nor stays."""
    started = tmp_path / "started"
    with pytest.raises(ArtifactError, match="fails on reference cases"):
        prove(signed(folder, keys, Runs(os.system, f"sleep 3600 & echo $! > {started}")), None, keys.public)
    assert has_ended(int(started.read_text()))


def test_child_sees_no_secret_of_the_parent(
    folder: Path, tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent's environment is not the child's."""
    monkeypatch.setenv("HEARTSTREAM_KAFKA__OPTIONS__SASL_PASSWORD", "zqx")
    seen = tmp_path / "seen"
    with pytest.raises(ArtifactError):
        prove(signed(folder, keys, Runs(os.system, f"env > {seen}")), None, keys.public)
    assert "zqx" not in seen.read_text()


def test_modules_of_the_working_directory_are_not_the_childs(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is named like one of our packages, where the command is run, is not run."""
    (tmp_path / "scoring.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    assert prove(folder).engine == "linear"


def test_command_says_sound_or_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 and the engine, or 65 and the reason."""
    check(folder)
    assert "engine: linear" in capsys.readouterr().out
    change_byte(folder / "pattern_submodels.json")
    with pytest.raises(SystemExit) as caught:
        check(folder)
    assert caught.value.code == 65
    assert "pattern_submodels.json: has" in capsys.readouterr().err


def test_terminal_obeys_no_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a manifest says is printed without the characters that would move the cursor or clear the screen."""
    change_manifest(folder, lambda manifest: manifest.update(model_version="1\x1b[2J"))
    check(folder)
    change_manifest(folder, lambda manifest: manifest.update(schema="\x1b[2J", best="\x9b2J"))
    with pytest.raises(SystemExit):
        check(folder)
    printed = capsys.readouterr()
    assert ("\\x1b[2J" in printed.out, "\\x1b[2J" in printed.err) == (True, True)
    assert [each for each in printed.out + printed.err if not each.isprintable() and each != "\n"] == []
