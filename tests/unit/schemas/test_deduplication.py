"""Laws of deduplication: repeated results are distinguished from new ones."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.deduplication import RepeatFilter
from schemas.records import Source


@given(st.lists(st.integers(0, 40), min_size=1, max_size=6), st.integers(1, 3))
def test_every_source_record_is_new_exactly_once(restarts: list[int], output_partitions: int) -> None:
    """A stream that goes back to any earlier offset after each crash still yields each record once, in order."""
    results = [offset for start in sorted(restarts) for offset in range(max(0, start - 20), start + 20)]
    seen = RepeatFilter()
    new = [o for o in results if seen.is_new(o % output_partitions, Source("patients", 0, o))]
    assert sorted(new) == sorted(set(results))


def test_partitions_are_distinguished() -> None:
    """The same offset of another source or output partition is the result of another record."""
    seen = RepeatFilter()
    places = [(0, Source("a", 0, 5)), (1, Source("a", 0, 5)), (0, Source("a", 1, 5)), (0, Source("b", 0, 5))]
    assert [seen.is_new(*place) for place in places] == [True] * 4


def test_the_state_survives_a_restart() -> None:
    """A filter created from an earlier one's state knows the results that the earlier one saw."""
    first = RepeatFilter()
    first.is_new(0, Source("a", 0, 5))
    assert not RepeatFilter(first.state).is_new(0, Source("a", 0, 5))
