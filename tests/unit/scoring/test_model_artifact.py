"""Which model of a directory is loaded, and the digest that identifies it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from scoring.model_artifact import MANIFEST_FILE, Artifact, FileEntry, load, read_manifest
from scoring.scorer import Scorer
from tests.support.model_files import change_manifest


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


def test_file_entry_has_size_and_sha256() -> None:
    """Both are those of the content."""
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert FileEntry(3, digest) == FileEntry.of(b"abc")
