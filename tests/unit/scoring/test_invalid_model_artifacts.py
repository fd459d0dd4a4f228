"""Every file of a model directory is verified, and every problem is reported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scoring.model_artifact import MANIFEST_FILE, PREPROCESSOR_FILE
from tests.support.model_files import PICKLES, change_byte, change_manifest, measured, refusal

FILES = (*PICKLES, "logistic_regression.json", "pattern_submodels.json", "random_forest.json", "random_forest.onnx")


def other_schema(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest.update(schema="heartstream-model/2"))


def old_manifest(folder: Path) -> None:
    def age(manifest: dict[str, Any]) -> None:
        manifest.update(schema="heartstream-model/2")
        del manifest["data"]["population"]

    change_manifest(folder, age)


def no_population(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["data"].update(population=""))


def other_features(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest.update(feature_table="kaggle/1"))


def range_turned_round(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["training_range"].update(thal=[7, 3], age=[63, 29]))


def range_of_illegal_values(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["training_range"].update(chol=[-1, 300]))


def no_training_range(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["training_range"].pop("thal"))


def certain_threshold(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest.update(threshold=1.1))


def tampered_onnx(folder: Path) -> None:
    change_byte(folder / "random_forest.onnx")


def tampered_numbers(folder: Path) -> None:
    change_byte(folder / "random_forest.json")


def unlisted_numbers(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["files"].pop("pattern_submodels.json"))


def missing_onnx(folder: Path) -> None:
    (folder / "random_forest.onnx").unlink()


def unlisted_classifier(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["files"].pop("pattern_submodels.joblib"))


def unlisted_preprocessor(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest["files"].pop(PREPROCESSOR_FILE))


def unknown_best(folder: Path) -> None:
    change_manifest(folder, lambda manifest: manifest.update(best="neural_network"))


def file_outside_the_directory(folder: Path) -> None:
    name = f"../{folder.name}/{PREPROCESSOR_FILE}"
    entry = measured((folder / PREPROCESSOR_FILE).read_bytes())
    change_manifest(folder, lambda manifest: manifest["files"].update({name: entry}))


def garbage_manifest(folder: Path) -> None:
    (folder / MANIFEST_FILE).write_bytes(b"{")


def no_manifest(folder: Path) -> None:
    (folder / MANIFEST_FILE).unlink()


PROBLEMS: dict[Callable[[Path], None], str] = {
    no_training_range: "no training range is given for thal",
    range_turned_round: "the training range of age is invalid",
    range_of_illegal_values: "the training range of chol is invalid",
    certain_threshold: "the threshold does not lie between 0 and 1",
    other_schema: "manifest schema is heartstream-model/2, expected heartstream-model/4: train the model again",
    old_manifest: "manifest schema is heartstream-model/2, expected heartstream-model/4: train the model again",
    no_population: "the population that the model was trained on is not given: train the model again",
    other_features: "feature-table.json: it is uci-heart-1988/1, the manifest says kaggle/1",
    tampered_onnx: "random_forest.onnx: has ",
    tampered_numbers: "random_forest.json: has ",
    unlisted_numbers: "pattern_submodels.json: not listed in the manifest",
    missing_onnx: "random_forest.onnx: cannot be read (No such file or directory)",
    unlisted_classifier: "pattern_submodels.joblib: not listed in the manifest",
    unlisted_preprocessor: "preprocessor.joblib: not listed in the manifest",
    unknown_best: "no model named neural_network; there are gradient_boosting, logistic_regression, pattern_submodels, "
    "random_forest",
    file_outside_the_directory: "preprocessor.joblib: not a plain file name",
    garbage_manifest: "is not a manifest",
    no_manifest: "cannot read manifest.json (No such file or directory)",
}
each_problem = pytest.mark.parametrize(
    ("spoil", "expected_text"), PROBLEMS.items(), ids=[spoil.__name__ for spoil in PROBLEMS]
)


@each_problem
def test_problem_is_reported(folder: Path, spoil: Callable[[Path], None], expected_text: str) -> None:
    """Whatever is wrong with a directory is an ArtifactError that names it."""
    spoil(folder)
    assert expected_text in refusal(folder)


@each_problem
def test_nothing_is_unpickled_from_a_refused_directory(
    trapped: Path, mark: Path, spoil: Callable[[Path], None], expected_text: str
) -> None:
    """With any problem no pickle is opened, even if the manifest has its digest."""
    spoil(trapped)
    assert expected_text in refusal(trapped)
    assert not mark.exists()


@pytest.mark.parametrize("name", FILES)
def test_one_changed_byte_is_detected(folder: Path, name: str) -> None:
    """Each file is verified by SHA-256, even if it is not loaded, and the error has both digests."""
    expected = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    change_byte(folder / name)
    actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    size = (folder / name).stat().st_size
    expected_text = f"{name}: has {size} bytes and SHA-256 {actual}, expected {size} bytes and SHA-256 {expected}"
    assert expected_text in refusal(folder, "logistic_regression")


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_detected(folder: Path, name: str) -> None:
    """Each listed file must exist, even if it is not loaded."""
    (folder / name).unlink()
    assert f"{name}: cannot be read (No such file or directory)" in refusal(folder, "logistic_regression")


def test_all_problems_are_reported_together(folder: Path) -> None:
    """One attempt lists everything that is wrong."""
    together = (other_schema, other_features, missing_onnx, unlisted_classifier, file_outside_the_directory)
    change_byte(folder / PREPROCESSOR_FILE)
    for spoil in together:
        spoil(folder)
    message = refusal(folder)
    expected_text = [*(PROBLEMS[spoil] for spoil in together), "preprocessor.joblib: has "]
    assert [problem for problem in expected_text if problem not in message] == []


def test_unknown_model_name_does_not_hide_other_problems(folder: Path) -> None:
    """An unknown name is reported together with everything else that is wrong."""
    change_byte(folder / "random_forest.onnx")
    message = refusal(folder, "neural_network")
    assert (PROBLEMS[unknown_best] in message, PROBLEMS[tampered_onnx] in message) == (True, True)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/hostname", "a/b", "./preprocessor.joblib", "..", ".", "", "a/", "a\0b", "x" * 300]
)
def test_file_name_outside_the_directory_is_refused(folder: Path, name: str) -> None:
    """Only plain file names may be listed; anything else is an ArtifactError."""
    (folder.parent / "secret").write_bytes(b"")
    change_manifest(folder, lambda manifest: manifest["files"].update({name: measured(b"")}))
    assert f"model directory {folder} refused" in refusal(folder)


@pytest.mark.parametrize("name", ["../model/pattern_submodels.joblib", "/tmp/pattern_submodels.joblib"])  # noqa: S108
def test_unlisted_model_file_is_refused(folder: Path, name: str) -> None:
    """A model may not refer to a file that the manifest does not list."""
    change_manifest(folder, lambda manifest: manifest["models"]["pattern_submodels"].update(file=name))
    assert f"{name}: not listed in the manifest" in refusal(folder)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff", b"null", b"[]", b"{}", b'{"schema": 1}', b"\x80\x04N.", b'{"schema": "\xff"}', b"[" * 50_000],
    ids=["empty", "binary", "null", "list", "no-fields", "wrong-type", "pickle", "not-utf8", "deep"],
)
def test_unreadable_manifest_is_refused(folder: Path, content: bytes) -> None:
    """Any content that is not a manifest is an ArtifactError."""
    (folder / MANIFEST_FILE).write_bytes(content)
    assert "is not a manifest" in refusal(folder)


@pytest.mark.parametrize(
    "field", ["schema", "best", "threshold", "versions", "training_range", "models", "files", "model_version"]
)
def test_manifest_must_be_complete(folder: Path, field: str) -> None:
    """A manifest without one of its fields is refused, and the error names the field."""
    change_manifest(folder, lambda manifest: manifest.pop(field))
    assert f"`{field}`" in refusal(folder)


def test_missing_directory_is_reported(tmp_path: Path) -> None:
    """The error names the path and the command that trains a model."""
    expected_text = refusal(tmp_path / "nowhere")
    assert (f"no model at {tmp_path / 'nowhere'}" in expected_text, "heartstream train makes one" in expected_text) == (
        True,
        True,
    )


def test_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    """It is an ArtifactError."""
    (tmp_path / "model").write_bytes(b"")
    assert "cannot read manifest.json (Not a directory)" in refusal(tmp_path / "model")
