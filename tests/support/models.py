"""Artifacts and classifiers that fail on purpose, and valid records as numbers and as bytes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from scoring.engines import Engine, build_engine
from scoring.features import Matrix
from scoring.model_artifact import MANIFEST_FILE, Artifact, FileEntry
from scoring.portable_model import PortableModel
from scoring.sklearn_fallback import Fitted
from tests.support.uci import FEATURE_NAMES, FEATURES, UCI
from training.data.frames import TRAINING_SITE, features, read_snapshot, target
from training.export.portable_model import with_answers

Probabilities = Matrix
OPTIONAL = [j for j, feature in enumerate(FEATURES) if not feature.required]


class Spoiled:
    """A fitted classifier whose probabilities pass through `spoil`, together with the inputs.

    It has the only method of a classifier that scoring calls.
    """

    def __init__(self, classifier: Any, spoil: Callable[[Matrix, Probabilities], Probabilities]) -> None:
        self.classifier, self.spoil = classifier, spoil

    def predict_proba(self, inputs: Matrix) -> Probabilities:
        return self.spoil(inputs, self.classifier.predict_proba(inputs))


class Switch:
    """A `spoil` that lets a classifier work until it is switched, and then spoils every result."""

    def __init__(self, spoil: Callable[[Matrix, Probabilities], Probabilities]) -> None:
        self.thrown, self.spoil = False, spoil

    def __call__(self, inputs: Matrix, probabilities: Probabilities) -> Probabilities:
        return self.spoil(inputs, probabilities) if self.thrown else probabilities


def raises(inputs: Matrix, probabilities: Probabilities) -> Probabilities:  # noqa: ARG001
    """Raise an exception for any input."""
    raise FloatingPointError("the classifier fails")


def gives(number: float) -> Callable[[Matrix, Probabilities], Probabilities]:
    """Return a `spoil` that replaces every probability by one number."""
    return lambda _, probabilities: np.full_like(probabilities, number)


def raises_on(culprits: Matrix) -> Callable[[Matrix, Probabilities], Probabilities]:
    """Return a `spoil` that raises for a batch with one of the `culprits`, preprocessed rows."""

    def spoil(inputs: Matrix, probabilities: Probabilities) -> Probabilities:
        if _hits(inputs, culprits).any():
            raise FloatingPointError("the classifier fails")
        return probabilities

    return spoil


def gives_on(culprits: Matrix, number: float) -> Callable[[Matrix, Probabilities], Probabilities]:
    """Return a `spoil` that replaces the probabilities of the `culprits`, preprocessed rows, by a number."""

    def spoil(inputs: Matrix, probabilities: Probabilities) -> Probabilities:
        spoiled = probabilities.copy()
        spoiled[_hits(inputs, culprits)] = number
        return spoiled

    return spoil


def _hits(inputs: Matrix, culprits: Matrix) -> Any:
    return (inputs[:, None, :] == culprits[None, :, :]).all(axis=2).any(axis=1)


def with_classifier(artifact: Artifact, classifier: Any) -> Artifact:
    """Return the artifact with another classifier, of a kind that no fast engine supports."""
    fitted = Fitted(artifact.fitted().preprocessor, classifier)
    return msgspec.structs.replace(artifact, plain=None, onnx=None, fitted=lambda: fitted)


def with_plain(artifact: Artifact, **changes: Any) -> Artifact:
    """Return the artifact with changed parameters of its portable model."""
    plain = msgspec.structs.replace(plain_of(artifact), **changes)
    return msgspec.structs.replace(artifact, plain=plain.as_json())


def plain_of(artifact: Artifact) -> PortableModel:
    """Return the artifact's portable model."""
    assert artifact.plain is not None
    return PortableModel.from_json(artifact.plain)


def another_version(folder: Path, target: Path, version: str) -> Path:
    """Write a model directory with the same risks and another version; return it."""
    shutil.copytree(folder, target)
    _rewrite(target, lambda manifest: manifest.update(model_version=version))
    return target


def with_exchanged_labels(folder: Path, target: Path) -> Path:
    """Write a valid model directory whose best model, a linear one, returns 1 - risk; return it."""
    shutil.copytree(folder, target)
    manifest = json.loads((target / MANIFEST_FILE).read_bytes())
    file = manifest["models"][manifest["best"]]["plain"]
    plain = PortableModel.from_json((target / file).read_bytes())
    assert plain.linear is not None
    linear = plain.linear
    exchanged = msgspec.structs.replace(
        plain,
        linear=msgspec.structs.replace(linear, intercepts=-linear.intercepts, coefficients=-linear.coefficients),
        reference_risks=1 - plain.reference_risks,
    )
    content = with_answers(exchanged, manifest["training_range"], UCI).as_json()
    (target / file).write_bytes(content)
    measured = msgspec.to_builtins(FileEntry.of(content))
    _rewrite(target, lambda changed: changed["files"].update({file: measured}))
    return target


def _rewrite(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST_FILE).read_bytes())
    change(manifest)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest))


def reference(artifact: Artifact, matrix: Matrix) -> Matrix:
    """Return scikit-learn's own risks, (n,)."""
    fitted = artifact.fitted()
    return fitted.classifier.predict_proba(fitted.preprocessor.transform(matrix))[:, 1]


def with_manifest(artifact: Artifact, **changes: Any) -> Artifact:
    """Return the artifact with another manifest."""
    return msgspec.structs.replace(artifact, manifest=msgspec.structs.replace(artifact.manifest, **changes))


def training_data() -> tuple[Matrix, Any]:
    """Return the 303 training rows, (303, 13), and their labels."""
    rows = read_snapshot((TRAINING_SITE,))
    return features(rows), target(rows)


def other_forest(artifact: Artifact) -> RandomForestClassifier:
    """Fit a small forest to other labels."""
    matrix, labels = training_data()
    inputs = np.nan_to_num(artifact.fitted().preprocessor.transform(matrix))
    return RandomForestClassifier(5, random_state=7).fit(inputs, 1 - labels)


def random_rows(count: int, seed: int = 1) -> Matrix:
    """Return valid rows (count, 13) without missing values."""
    rng = np.random.default_rng(seed)
    rows = np.empty((count, len(FEATURES)))
    for j, feature in enumerate(FEATURES):
        low, high = feature.interval
        if feature.codes:
            rows[:, j] = rng.choice([code for code, _ in feature.codes], count)
        elif feature.whole:
            rows[:, j] = rng.integers(int(low), int(high), count, endpoint=True)
        else:
            rows[:, j] = rng.uniform(low, high, count)
    return rows


def every_missing_pattern(seed: int = 2) -> Matrix:
    """Return a valid row (1024, 13) for each set of the ten fields that may be missing."""
    rows = random_rows(1 << len(OPTIONAL), seed)
    for pattern, row in enumerate(rows):
        row[[j for bit, j in enumerate(OPTIONAL) if pattern >> bit & 1]] = np.nan
    return rows


def as_values(rows: Matrix) -> list[bytes]:
    """Write rows (n, 13) as records, with NaN as null and the row's number as the id."""
    return [as_value(f"p-{number}", row) for number, row in enumerate(rows.tolist())]


def as_value(patient_id: str, row: Sequence[float]) -> bytes:
    """Write one row (13,) as a record."""
    numbers = [None if number != number else number for number in row]  # noqa: PLR0124  # NaN alone differs from itself
    return json.dumps({"patient_id": patient_id, **dict(zip(FEATURE_NAMES, numbers, strict=True))}).encode()


def engine_of(artifact: Artifact) -> tuple[Engine, str | None]:
    """Return the engine that serves an artifact, and why it is scikit-learn."""
    prepared = build_engine(artifact, UCI)
    return prepared.engine, prepared.fallback_reason
