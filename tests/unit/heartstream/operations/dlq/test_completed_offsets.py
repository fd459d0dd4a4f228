"""Which dead letters have been redriven, in the metadata of the committed offset."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartstream.operations.dlq.completed_offsets import CompletedOffsets
from schemas.errors import DependencyError

RUNS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 8)), max_size=30)


@given(start=st.integers(0, 20), runs=RUNS)
def test_exactly_what_was_added_is_done(start: int, runs: list[tuple[int, int]]) -> None:
    """A letter is done if it is before the start offset or in an added run, in whatever order."""
    progress = CompletedOffsets(start)
    done = set(range(start))
    for first, length in runs:
        progress.add(first, first + length)
        done |= set(range(first, first + length))
    assert [offset for offset in range(80) if offset in progress] == sorted(done)


@given(start=st.integers(0, 20), runs=RUNS)
def test_the_offset_is_the_first_that_is_not_done(start: int, runs: list[tuple[int, int]]) -> None:
    """The committed offset never passes a waiting letter and is never smaller than necessary."""
    progress = CompletedOffsets(start)
    for first, length in runs:
        progress.add(first, first + length)
    assert progress.offset == next(offset for offset in range(start, 100) if offset not in progress)


@given(start=st.integers(0, 2**40), runs=RUNS)
def test_encoding_is_lossless(start: int, runs: list[tuple[int, int]]) -> None:
    """Offset and metadata decode to the same letters."""
    progress = CompletedOffsets(start)
    for first, length in runs:
        progress.add(start + first, start + first + length)
    again = CompletedOffsets.decode(progress.offset, progress.encode())
    window = range(start, start + 80)
    assert (again.offset, again.encode()) == (progress.offset, progress.encode())
    assert [offset in again for offset in window] == [offset in progress for offset in window]


def test_a_copy_is_independent() -> None:
    """Adding to a copy does not change the original."""
    progress = CompletedOffsets(0, [(5, 6)])
    progress.copy().add(0, 10)
    assert (progress.offset, 7 in progress) == (0, False)


def test_a_scattered_selection_of_a_large_topic_fits() -> None:
    """A random half of 10,000 letters fits into Kafka's metadata limit; a random half of 100,000 does not."""
    rng = random.Random(42)  # noqa: S311  # for variety, not for secrets
    fits = []
    for size in (10_000, 100_000):
        progress = CompletedOffsets(0)
        for offset in range(1, size):
            if rng.random() < 0.5:
                progress.add(offset, offset + 1)
        fits.append(progress.fits())
    assert fits == [True, False]


def test_an_offset_without_metadata_is_used_as_it_is() -> None:
    """Resetting the group's offsets by hand decides what is redriven again."""
    progress = CompletedOffsets.decode(7, "")
    assert (6 in progress, 7 in progress) == (True, False)


@pytest.mark.parametrize("text", ["something else", "runs1:", "runs1:AAAA", "runs1:eJw="])
def test_foreign_metadata_is_refused(text: str) -> None:
    """Metadata that another program wrote is not interpreted."""
    with pytest.raises(DependencyError, match="was not written by heartstream"):
        CompletedOffsets.decode(7, text)
