"""Laws of the challenger's sample: so many records, the same ones whatever happens."""

from __future__ import annotations

from itertools import pairwise

import pytest

from schemas.records import Source
from worker.shadow import Sample

SOURCES = [Source("patients", partition, offset) for partition in range(6) for offset in range(10_000)]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_so_many_are_taken(share: float) -> None:
    """The share holds to a tenth of itself or better, in each partition, and in each stretch of a thousand roughly."""
    taken = [Sample(share).selects(source) for source in SOURCES]
    assert sum(taken) == pytest.approx(share * len(taken), rel=0.1)
    for start in range(0, len(taken), 10_000):
        assert sum(taken[start : start + 10_000]) == pytest.approx(share * 10_000, rel=0.25)


def test_all_are_taken_where_all_are_wanted() -> None:
    """A share of 1 leaves none out."""
    assert all(map(Sample(1.0).selects, SOURCES))


def test_a_larger_sample_holds_the_smaller_one() -> None:
    """Who raises the share keeps the records that were taken already."""
    small, large = Sample(0.1), Sample(0.3)
    assert all(large.selects(source) for source in SOURCES if small.selects(source))


def test_neighbours_are_taken_independently() -> None:
    """A batch, or every second record, is no better sample than any other."""
    taken = [Sample(0.5).selects(source) for source in SOURCES[:10_000]]
    assert sum(a == b for a, b in pairwise(taken)) == pytest.approx(5_000, rel=0.1)
    assert sum(taken[::2]) == pytest.approx(2_500, rel=0.1)
