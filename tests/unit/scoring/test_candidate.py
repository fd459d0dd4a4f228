"""A model that is not trusted yet cannot hurt the process that asks about it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from heartstream.model_command import check
from schemas.errors import ArtifactError
from scoring.artifact import PREPROCESSOR_FILE
from scoring.candidate import prove
from tests.unit.scoring.test_artifact import change_byte, change_manifest, pickled, replace_file


class Runs:
    """Unpickled, it calls a function with arguments."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> object:
        return self.call


def with_only_pickles(folder: Path, pickle: object) -> Path:
    """Leave scikit-learn to serve the model, from this pickle, with its digest in the manifest."""
    replace_file(folder, "pattern_submodels.json", b"{}")
    replace_file(folder, PREPROCESSOR_FILE, pickled(pickle))
    return folder


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


def test_crash_of_the_child_is_a_refusal(folder: Path) -> None:
    """A pickle that ends its process ends the child's, and the parent says so."""
    with pytest.raises(ArtifactError, match=r"ended with code 7"):
        prove(with_only_pickles(folder, Runs(os._exit, 7)))


def test_memory_of_the_child_is_limited(folder: Path) -> None:
    """A pickle that asks for 8 GiB gets none, and the model is refused."""
    with pytest.raises(ArtifactError, match="MemoryError"):
        prove(with_only_pickles(folder, Runs(bytearray, 8 << 30)))


def test_child_sees_no_secret_of_the_parent(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The parent's environment is not the child's."""
    monkeypatch.setenv("HEARTSTREAM_KAFKA__OPTIONS__SASL_PASSWORD", "zqx")
    seen = tmp_path / "seen"
    with pytest.raises(ArtifactError):
        prove(with_only_pickles(folder, Runs(os.system, f"env > {seen}")))
    assert "zqx" not in seen.read_text()


def test_command_says_sound_or_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0 and the engine, or 65 and the reason."""
    check(folder)
    assert "engine: linear" in capsys.readouterr().out
    change_byte(folder / "pattern_submodels.json")
    with pytest.raises(SystemExit) as caught:
        check(folder)
    assert caught.value.code == 65
    assert "pattern_submodels.json: has" in capsys.readouterr().err
