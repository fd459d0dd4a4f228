"""A pickle is opened only if it is verified, needed, and of the installed scikit-learn."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import joblib
import pytest
import sklearn

from schemas.errors import ArtifactError
from scoring.model_artifact import PREPROCESSOR_FILE, load
from scoring.scorer import Scorer
from tests.support.model_files import PICKLES, Trap, change_manifest, pickled, refusal, replace_file


class Unloadable:
    """Cannot be unpickled, like an object of a package that is not installed here."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Make pickle import a module that does not exist."""
        return import_module, ("no_such_package",)


@pytest.mark.parametrize("name", PICKLES)
def test_changed_pickle_is_not_unpickled(folder: Path, mark: Path, name: str) -> None:
    """A pickle that was replaced without updating the manifest is not opened."""
    (folder / name).write_bytes(pickled(Trap(mark)))
    assert f"{name}: has " in refusal(folder)
    assert not mark.exists()


def test_trap_works(trapped: Path, mark: Path) -> None:
    """Unpickling triggers the traps of these tests, so an untriggered one is evidence."""
    joblib.load(trapped / PREPROCESSOR_FILE)
    assert mark.exists()


def test_valid_model_is_served_without_its_pickles(trapped: Path, mark: Path) -> None:
    """If a fast engine serves, no pickle is opened, even if the manifest has its digest."""
    engines = {name: Scorer.from_directory(trapped, name).engine for name in load(trapped).manifest.models}
    assert engines == {
        "logistic_regression": "linear",
        "pattern_submodels": "linear",
        "random_forest": "onnx",
        "gradient_boosting": "onnx",
    }
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


def test_unlisted_file_is_ignored(folder: Path, mark: Path) -> None:
    """A stray file is neither loaded nor an error."""
    (folder / "stray.joblib").write_bytes(pickled(Trap(mark)))
    assert load(folder).model.name in {"pattern_submodels", "random_forest"}
    assert not mark.exists()
