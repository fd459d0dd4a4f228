"""However batches are split, joined or merged, each record keeps its own outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schemas.cloudevents import Content
from scoring.batches import JsonBatch
from scoring.pipeline import Results, joined, merged, rejection
from scoring.scorer import Scorer
from tests.support.examples import accepted, rejected
from tests.support.outcomes import Rejected, outcomes_of
from tests.support.uci import UCI, decode

EXAMPLES = dict(accepted())
PLAIN, DECLARED, BROKEN = EXAMPLES["complete"], EXAMPLES["coding-uci"], rejected()[0][1]
ILLEGAL = PLAIN.replace(b'"age": 63', b'"age": 630')
VALUES = st.sampled_from([PLAIN, DECLARED, BROKEN, ILLEGAL])
BATCHES = st.lists(VALUES, max_size=12)
MARKED = st.lists(st.tuples(VALUES, st.booleans()), max_size=12)


def results_of(values: Sequence[bytes], scorer: Scorer) -> Results:
    return scorer.score(JsonBatch(values).decode(UCI))


def assert_same(one: Results, other: Results) -> None:
    """Compare every column, and everything that is derived from them."""
    assert outcomes_of(one) == outcomes_of(other)
    assert (list(one.positions), one.rejected, one.declared) == (list(other.positions), other.rejected, other.declared)
    assert (list(one.models), list(one.rejected)) == (list(other.models), list(other.rejected))
    for name in ("matrix", "risks", "labels"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert (one.evidence(), one.codes()) == (other.evidence(), other.codes())


def test_no_batches_have_no_results() -> None:
    """There is nothing to join."""
    assert (len(joined([])), joined([]).scored, joined([]).outcomes()) == (0, 0, [])


@given(st.lists(BATCHES, min_size=1, max_size=5))
def test_joined_batches_equal_one_batch_and_split_again(scorer: Scorer, batches: list[list[bytes]]) -> None:
    """Positions are relative to the whole batch, and to the parts after splitting."""
    parts, whole = [results_of(batch, scorer) for batch in batches], results_of(list(chain(*batches)), scorer)
    assert_same(joined(parts), whole)
    for part, own in zip(parts, whole.split(map(len, batches)), strict=True):
        assert_same(part, own)


@given(MARKED)
def test_a_batch_that_was_split_by_record_is_merged_in_order(scorer: Scorer, batch: list[tuple[bytes, bool]]) -> None:
    """Whichever records another model scores, each outcome returns to its position."""
    values, taken = [value for value, _ in batch], [each for _, each in batch]
    ours, others = JsonBatch(values).decode(UCI).split(taken)
    assert_same(merged(scorer.score(others), scorer.score(ours)), results_of(values, scorer))


@given(BATCHES)
def test_an_outcome_is_found_by_its_position(scorer: Scorer, batch: list[bytes]) -> None:
    """One by one as all together."""
    results = results_of(batch, scorer)
    assert [results.outcome(place) for place in range(len(batch))] == results.outcomes()


@given(BATCHES)
def test_only_records_that_name_no_coding_are_refused_with_their_source(scorer: Scorer, batch: list[bytes]) -> None:
    """Records that were rejected before keep their own issues."""
    issues = rejection(results_of([BROKEN], scorer).rejected[0]).rejected[0]
    before, after = outcomes_of(results_of(batch, scorer)), results_of(batch, scorer).without_undeclared(issues)
    assert outcomes_of(after) == [
        Rejected(issues) if value == PLAIN else outcome for value, outcome in zip(batch, before, strict=True)
    ]
    assert list(after.rejected) == sorted(after.rejected)


@given(MARKED)
def test_an_envelope_is_unwrapped_once(scorer: Scorer, batch: list[tuple[bytes, bool]]) -> None:
    """And only if the value itself is not a plain record; the outcome is that of its content."""
    opened: Counter[int] = Counter()

    def content(place: int) -> Content:
        opened[place] += 1
        return batch[place][0]

    values = [b"envelope" if is_wrapped else value for value, is_wrapped in batch]
    results = scorer.score(JsonBatch(values, content=content).decode(UCI))
    assert outcomes_of(results) == outcomes_of(results_of([value for value, _ in batch], scorer))
    plain = {place for place, value in enumerate(values) if decode(value) is not None}
    assert opened == Counter(set(range(len(batch))) - plain)
