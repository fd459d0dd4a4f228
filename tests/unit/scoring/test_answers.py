"""What is said beside a risk is proved by what training recorded of the reference cases."""

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
def test_every_trained_model_says_what_was_recorded(fixture: str, request: pytest.FixtureRequest) -> None:
    """The proof is there, and holds."""
    artifact = request.getfixturevalue(fixture)
    assert plain_of(artifact).recorded_answers is not None
    Scorer(artifact)


@pytest.mark.parametrize(("name", "change"), TABLES.items(), ids=TABLES)
def test_other_tables_are_refused(
    pattern_artifact: Artifact, name: str, change: Callable[[PortableModel], dict[str, object]]
) -> None:
    """The risks are right, the tables well formed: the recorded answers alone tell, and name what is wrong."""
    plain = plain_of(pattern_artifact)
    changed = with_plain(pattern_artifact, uncertainty=msgspec.structs.replace(plain.uncertainty, **change(plain)))
    with pytest.raises(ArtifactError, match=f"^the model's {name} of reference cases are not those"):
        Scorer(changed)


def test_other_training_ranges_are_refused(pattern_artifact: Artifact) -> None:
    """They decide which values a score warns of."""
    manifest = pattern_artifact.manifest
    low, high = manifest.training_range["age"]
    ranges = {**manifest.training_range, "age": (low, high - 5)}
    changed = msgspec.structs.replace(
        pattern_artifact, manifest=msgspec.structs.replace(manifest, training_range=ranges)
    )
    with pytest.raises(ArtifactError, match=r"^the model's out_of_range of reference cases are not those"):
        Scorer(changed)


def test_a_model_without_recorded_answers_is_scored(pattern_artifact: Artifact) -> None:
    """Models of versions that recorded only risks are proved by those."""
    plain = plain_of(pattern_artifact)
    content = msgspec.json.decode(plain.as_json())
    del content["golden_answers"]
    assert Scorer(msgspec.structs.replace(pattern_artifact, plain=msgspec.json.encode(content))).engine == "linear"
