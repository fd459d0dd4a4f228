"""Every file of a model directory is verified, and no code in it runs before all of them are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib
import pytest
import sklearn
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from schemas.errors import ArtifactError
from scoring.model_artifact import (
    BEST_MODEL_FILE,
    MANIFEST_FILE,
    PREPROCESSOR_FILE,
    Artifact,
    FileEntry,
    load,
    read_manifest,
)
from scoring.scorer import Scorer
from tests.support.model_files import change_byte, change_manifest, measured, pickled, refusal, replace_file

PICKLES = (
    PREPROCESSOR_FILE,
    BEST_MODEL_FILE,
    "logistic_regression.joblib",
    "pattern_submodels.joblib",
    "random_forest.joblib",
)
FILES = (*PICKLES, "logistic_regression.json", "pattern_submodels.json", "random_forest.json", "random_forest.onnx")


class Trap:
    """Writes a file when it is unpickled, as any pickle may."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        """Make pickle call `mark.touch()`."""
        return Path.touch, (self.mark,)


class Unloadable:
    """Cannot be unpickled, like an object of a package that is not installed here."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Make pickle import a module that does not exist."""
        return import_module, ("no_such_package",)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that a trap creates."""
    return tmp_path / "a-trap-was-sprung"


@pytest.fixture
def trapped(folder: Path, mark: Path) -> Path:
    """A model directory in which every pickle is a trap, and the manifest has the traps' digests."""
    for name in PICKLES:
        replace_file(folder, name, pickled(Trap(mark)))
    return folder


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
    change_manifest(folder, lambda manifest: manifest.update(best="gradient_boosting"))


def file_elsewhere(folder: Path) -> None:
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
    other_schema: "manifest schema is heartstream-model/2, expected heartstream-model/3: train the model again",
    old_manifest: "manifest schema is heartstream-model/2, expected heartstream-model/3: train the model again",
    no_population: "the population that the model was trained on is not given: train the model again",
    other_features: "feature table is kaggle/1, expected uci-heart-1988/1",
    tampered_onnx: "random_forest.onnx: has ",
    tampered_numbers: "random_forest.json: has ",
    unlisted_numbers: "pattern_submodels.json: not listed in the manifest",
    missing_onnx: "random_forest.onnx: cannot be read (No such file or directory)",
    unlisted_classifier: "pattern_submodels.joblib: not listed in the manifest",
    unlisted_preprocessor: "preprocessor.joblib: not listed in the manifest",
    unknown_best: "no model named gradient_boosting; there are logistic_regression, pattern_submodels, random_forest",
    file_elsewhere: "preprocessor.joblib: not a plain file name",
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


@pytest.mark.parametrize("name", PICKLES)
def test_changed_pickle_is_not_unpickled(folder: Path, mark: Path, name: str) -> None:
    """A pickle that was replaced without updating the manifest is not opened."""
    (folder / name).write_bytes(pickled(Trap(mark)))
    assert f"{name}: has " in refusal(folder)
    assert not mark.exists()


def test_trap_works(trapped: Path, mark: Path) -> None:
    """Unpickling triggers the traps of these tests, so an untriggered one proves something."""
    joblib.load(trapped / PREPROCESSOR_FILE)
    assert mark.exists()


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
    together = (other_schema, other_features, missing_onnx, unlisted_classifier, file_elsewhere)
    change_byte(folder / PREPROCESSOR_FILE)
    for spoil in together:
        spoil(folder)
    message = refusal(folder)
    expected_text = [*(PROBLEMS[spoil] for spoil in together), "preprocessor.joblib: has "]
    assert [problem for problem in expected_text if problem not in message] == []


def test_unknown_model_name_does_not_hide_other_problems(folder: Path) -> None:
    """An unknown name is reported together with everything else that is wrong."""
    change_byte(folder / "random_forest.onnx")
    message = refusal(folder, "gradient_boosting")
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


def test_valid_model_is_served_without_its_pickles(trapped: Path, mark: Path) -> None:
    """If a fast engine serves, no pickle is opened, even if the manifest has its digest."""
    scorers = [
        Scorer.from_directory(trapped, name) for name in ("logistic_regression", "pattern_submodels", "random_forest")
    ]
    assert [scorer.engine for scorer in scorers] == ["linear", "linear", "onnx"]
    assert not mark.exists()


def test_pickle_that_cannot_be_loaded_is_refused(folder: Path) -> None:
    """A verified file that cannot be unpickled here is an invalid model, not a crash."""
    replace_file(folder, PREPROCESSOR_FILE, pickled(Unloadable()))
    with pytest.raises(ArtifactError, match=r"preprocessor\.joblib: cannot be loaded \(ModuleNotFoundError"):
        load(folder).fitted()


@pytest.mark.parametrize(
    "versions",
    [{"scikit-learn": "0.24.2"}, {"scikit-learn": "99.0"}, {}],
    ids=["older", "newer", "unknown"],
)
def test_another_scikit_learn_version_opens_no_pickle(trapped: Path, mark: Path, versions: dict[str, str]) -> None:
    """Only the version that wrote a pickle opens it; a fast engine still serves the model."""
    change_manifest(trapped, lambda manifest: manifest.update(versions=versions))
    expected_text = f"trained with scikit-learn {versions.get('scikit-learn')}, but {sklearn.__version__} is installed"
    with pytest.raises(ArtifactError, match=re.escape(expected_text)):
        load(trapped).fitted()
    assert (Scorer.from_directory(trapped).fallback_reason, mark.exists()) == (None, False)


def test_model_that_nothing_can_serve_is_refused_with_both_reasons(folder: Path) -> None:
    """The portable model is invalid and the pickles need another scikit-learn: the error has both reasons."""
    replace_file(folder, "logistic_regression.json", b"{}")
    change_manifest(folder, lambda manifest: manifest["versions"].update({"scikit-learn": "0.24.2"}))
    with pytest.raises(ArtifactError) as caught:
        Scorer.from_directory(folder, "logistic_regression")
    expected_text = ("missing required field", "scikit-learn cannot score instead", "trained with scikit-learn 0.24.2")
    assert [text for text in expected_text if text not in str(caught.value)] == []


def test_each_model_can_be_chosen_by_name(linear_artifact: Artifact, forest_artifact: Artifact) -> None:
    """Only the forest has a compiled form."""
    found = [
        (artifact.model.name, type(artifact.fitted().classifier["classify"]), artifact.onnx is None)
        for artifact in (linear_artifact, forest_artifact)
    ]
    expected = [("logistic_regression", LogisticRegression, True), ("random_forest", RandomForestClassifier, False)]
    assert expected == found


def test_best_model_is_loaded_by_default(folder: Path) -> None:
    """Without a name the model that training selected is loaded."""
    change_manifest(folder, lambda manifest: manifest.update(best="random_forest"))
    names = [load(folder).model.name, load(folder, "logistic_regression").model.name]
    assert names == ["random_forest", "logistic_regression"]


def test_digest_is_of_the_manifest(model_dir: Path, linear_artifact: Artifact) -> None:
    """The digest in a score is the first 16 digits of the manifest's SHA-256, so anyone can verify it."""
    expected = hashlib.sha256((model_dir / MANIFEST_FILE).read_bytes()).hexdigest()[:16]
    assert (expected, expected) == (linear_artifact.model.digest, read_manifest(model_dir)[1])


def test_copy_of_a_directory_is_the_same_model(folder: Path, model_dir: Path) -> None:
    """Loading again, or loading a copy, gives the same digest and the same risks."""
    first, second = Scorer.from_directory(folder), Scorer.from_directory(model_dir)
    assert (first.model, first._reference_risks.tolist()) == (second.model, second._reference_risks.tolist())


def test_another_model_has_another_digest(folder: Path, linear_artifact: Artifact) -> None:
    """Any change of the manifest, including a file's digest, changes the model's digest."""
    change_manifest(folder, lambda manifest: manifest.update(seed=43))
    assert linear_artifact.model.digest != load(folder).model.digest


def test_unlisted_file_is_ignored(folder: Path, mark: Path) -> None:
    """A stray file is neither loaded nor an error."""
    (folder / "stray.joblib").write_bytes(pickled(Trap(mark)))
    assert load(folder).model.name in {"pattern_submodels", "random_forest"}
    assert not mark.exists()


def test_file_entry_has_size_and_sha256() -> None:
    """Both are those of the content."""
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert FileEntry(3, digest) == FileEntry.of(b"abc")
