"""Intervals, label sets and ranges are verified against what training recorded for the reference cases."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from schemas.errors import ArtifactError
from scoring.model_artifact import Artifact
from scoring.portable_model import PortableModel
from scoring.scorer import Scorer
from tests.support.models import plain_of, with_plain

TABLES: dict[str, Callable[[PortableModel], object]] = {
    "intervals": lambda plain: {"reach": plain.uncertainty.reach * 0.999},  # type: ignore[operator]
    "sampling_intervals": lambda plain: {"sampling_reach": plain.uncertainty.sampling_reach * 0.999},  # type: ignore[operator]
    "label_limits": lambda plain: {"label_limits": np.roll(plain.uncertainty.label_limits, 1, axis=0)},
}
"""Tables that pass every check of their form, and are not those of the training."""


@pytest.mark.parametrize("fixture", ["linear_artifact", "pattern_artifact", "forest_artifact"])
def test_every_trained_model_reproduces_its_recorded_answers(fixture: str, request: pytest.FixtureRequest) -> None:
    """Training records the answers, and the loaded model reproduces them."""
    artifact = request.getfixturevalue(fixture)
    assert plain_of(artifact).reference_results is not None
    Scorer(artifact)


@pytest.mark.parametrize(("name", "change"), TABLES.items(), ids=TABLES)
def test_other_uncertainty_tables_are_refused(
    pattern_artifact: Artifact, name: str, change: Callable[[PortableModel], dict[str, object]]
) -> None:
    """Risks and table shapes are right: only the recorded answers reveal the change, and the error names it."""
    plain = plain_of(pattern_artifact)
    changed = with_plain(pattern_artifact, uncertainty=msgspec.structs.replace(plain.uncertainty, **change(plain)))
    with pytest.raises(ArtifactError, match=f"^{name} of the reference cases differ"):
        Scorer(changed)


def test_other_training_ranges_are_refused(pattern_artifact: Artifact) -> None:
    """Training ranges decide which values a score warns about."""
    manifest = pattern_artifact.manifest
    low, high = manifest.training_range["age"]
    ranges = {**manifest.training_range, "age": (low, high - 5)}
    changed = msgspec.structs.replace(
        pattern_artifact, manifest=msgspec.structs.replace(manifest, training_range=ranges)
    )
    with pytest.raises(ArtifactError, match=r"^out_of_range of the reference cases differ"):
        Scorer(changed)


def test_a_model_without_recorded_answers_is_accepted(pattern_artifact: Artifact) -> None:
    """Models of versions that recorded only risks are verified by their risks."""
    plain = plain_of(pattern_artifact)
    content = msgspec.json.decode(plain.as_json())
    del content["golden_answers"]
    assert Scorer(msgspec.structs.replace(pattern_artifact, plain=msgspec.json.encode(content))).engine == "linear"
