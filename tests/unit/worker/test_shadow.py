"""The challenger's sample has the configured size and always contains the same records."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from runtime.settings import Settings
from schemas.errors import ArtifactError
from schemas.records import Source
from scoring.model_source import ModelSource
from worker.bootstrap import create_shadow_app
from worker.shadow import Sample

SOURCES = [Source("patients", partition, offset) for partition in range(6) for offset in range(10_000)]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_sample_has_the_configured_ratio(share: float) -> None:
    """Within a tenth of the ratio per partition, and within a quarter in each run of 10,000 records."""
    taken = [Sample(share).selects(source) for source in SOURCES]
    assert sum(taken) == pytest.approx(share * len(taken), rel=0.1)
    for start in range(0, len(taken), 10_000):
        assert sum(taken[start : start + 10_000]) == pytest.approx(share * 10_000, rel=0.25)


def test_a_ratio_of_one_takes_every_record() -> None:
    """A sample ratio of 1 leaves out no record."""
    assert all(map(Sample(1.0).selects, SOURCES))


def test_a_larger_sample_contains_the_smaller_one() -> None:
    """Raising the ratio keeps the records that were sampled before."""
    small, large = Sample(0.1), Sample(0.3)
    assert all(large.selects(source) for source in SOURCES if small.selects(source))


def test_neighbouring_records_are_sampled_independently() -> None:
    """A batch, or every second record, is as representative as any other selection."""
    taken = [Sample(0.5).selects(source) for source in SOURCES[:10_000]]
    assert sum(a == b for a, b in pairwise(taken)) == pytest.approx(5_000, rel=0.1)
    assert sum(taken[::2]) == pytest.approx(2_500, rel=0.1)


def test_a_challenger_with_another_feature_table_is_refused(model_dir: Path, flchain_dir: Path) -> None:
    """The shadow does not start; the error names the challenger and both tables."""
    settings = Settings.from_mapping(
        {"HEARTSTREAM_MODEL__PATH": str(model_dir), "HEARTSTREAM_CHALLENGER__PATH": str(flchain_dir)}
    )
    with pytest.raises(ArtifactError) as caught:
        create_shadow_app(settings)
    assert str(caught.value) == (
        f"challenger {ModelSource(flchain_dir).digest()}: its feature table is flchain-2012/1, not uci-heart-1988/1: "
        "serve it apart, with topics of its own"
    )
