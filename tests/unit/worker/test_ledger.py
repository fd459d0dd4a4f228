"""The ledger decides which offsets may be committed."""

from __future__ import annotations

import random
import threading

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.ledgers import OTHER, TOPIC, enter, granted
from worker.kafka.batch import BatchState
from worker.kafka.ledger import Ledger


def test_nothing_is_committable_before_a_batch_is_finished() -> None:
    """A batch that has only been started makes no offset committable."""
    ledger = granted()
    batch = enter(ledger, 100)
    assert ledger.start(batch)
    assert ledger.take_committable() == {}


def test_a_finished_batch_behind_an_unfinished_one_is_not_committable() -> None:
    """With 100-109 in flight and 110-119 finished nothing may be committed; stock Faust would commit 120."""
    ledger = granted()
    first, second = enter(ledger, 100), enter(ledger, 110)
    assert ledger.start(first)
    assert ledger.start(second)
    ledger.finish(second)
    assert ledger.take_committable() == {}
    ledger.finish(first)
    assert ledger.take_committable() == {TOPIC: 120}


def test_an_offset_is_returned_for_committing_once() -> None:
    """It is not returned again unless it is given back."""
    ledger = granted()
    batch = enter(ledger, 0)
    ledger.start(batch)
    ledger.finish(batch)
    assert ledger.take_committable() == {TOPIC: 10}
    assert ledger.take_committable() == {}


def test_a_failed_commit_is_retried() -> None:
    """An offset that the broker did not store becomes committable again (faust #611)."""
    ledger = granted()
    batch = enter(ledger, 0)
    ledger.start(batch)
    ledger.finish(batch)
    offsets = ledger.take_committable()
    ledger.mark_uncommitted(offsets)
    assert ledger.take_committable() == offsets


def test_a_pending_commit_is_uncommitted_until_it_is_confirmed() -> None:
    """A revocation also commits what a pending asynchronous commit might still fail to store."""
    ledger = granted()
    batch = enter(ledger, 0)
    ledger.start(batch)
    ledger.finish(batch)
    offsets = ledger.take_committable()
    assert ledger.uncommitted([TOPIC]) == {TOPIC: 10}
    ledger.mark_committed(offsets)
    assert ledger.uncommitted([TOPIC]) == {}


def test_closing_a_partition_drops_the_batches_that_were_not_started() -> None:
    """Once a revocation has begun no waiting batch can start, but started ones still count."""
    ledger = granted()
    started, waiting = enter(ledger, 0), enter(ledger, 10)
    ledger.start(started)
    ledger.close([TOPIC])
    assert not ledger.start(waiting)
    assert waiting.state is BatchState.DROPPED
    ledger.finish(started)
    assert ledger.uncommitted([TOPIC]) == {TOPIC: 10}


def test_a_batch_of_an_ended_lease_changes_nothing() -> None:
    """A batch that finishes after its partition was revoked and reassigned does not count (robinhood #681)."""
    ledger = granted()
    late = enter(ledger, 0)
    ledger.start(late)
    ledger.close([TOPIC])
    ledger.remove([TOPIC])
    ledger.assign([TOPIC])
    ledger.finish(late)
    assert ledger.take_committable() == {}


def test_a_partition_that_is_reassigned_is_committed_again() -> None:
    """The new assignment commits from its own first batch on."""
    ledger = granted()
    ledger.close([TOPIC])
    ledger.remove([TOPIC])
    ledger.assign([TOPIC])
    batch = enter(ledger, 500)
    ledger.start(batch)
    ledger.finish(batch)
    assert ledger.take_committable() == {TOPIC: 510}


def test_partitions_do_not_block_each_other() -> None:
    """An unfinished batch of one partition does not delay another's commits."""
    ledger = granted(TOPIC, OTHER)
    stuck, free = enter(ledger, 0), enter(ledger, 0, tp=OTHER)
    ledger.start(stuck)
    ledger.start(free)
    ledger.finish(free)
    assert ledger.take_committable() == {OTHER: 10}


def test_waiting_for_idle_ends_when_the_last_started_batch_is_confirmed() -> None:
    """A revocation stops waiting as soon as another thread confirms the last batch."""
    ledger = granted()
    batch = enter(ledger, 0)
    ledger.start(batch)
    ledger.close([TOPIC])
    assert not ledger.wait_idle([TOPIC], 0.0)
    finisher = threading.Thread(target=ledger.finish, args=(batch,))
    finisher.start()
    assert ledger.wait_idle([TOPIC], 30.0)
    finisher.join()


def test_the_end_offset_is_committable_when_all_records_before_it_are_finished() -> None:
    """Offsets behind the last record (transaction markers) are committed with that record, not earlier."""
    ledger = granted()
    batch = enter(ledger, 100)
    ledger.start(batch)
    ledger.reached_end(TOPIC, 111)
    assert (ledger.take_committable(), ledger.committable_with(batch)) == ({}, 111)
    ledger.finish(batch)
    assert ledger.take_committable() == {TOPIC: 111}


def test_the_end_of_a_partition_without_records_is_committable() -> None:
    """Aborted or deleted records leave nothing to score."""
    ledger = granted()
    ledger.reached_end(TOPIC, 7)
    assert ledger.take_committable() == {TOPIC: 7}


def test_an_end_offset_behind_dropped_records_is_not_committable() -> None:
    """The partition's next owner scores those records."""
    ledger = granted()
    first, _waiting = enter(ledger, 100), enter(ledger, 110)
    ledger.start(first)
    ledger.reached_end(TOPIC, 121)
    ledger.close([TOPIC])
    ledger.finish(first)
    ledger.reached_end(TOPIC, 121)
    assert ledger.uncommitted([TOPIC]) == {TOPIC: 110}


def test_an_end_offset_is_superseded_by_later_records() -> None:
    """A record that is read later has to be finished itself."""
    ledger = granted()
    ledger.reached_end(TOPIC, 100)
    batch = enter(ledger, 100)
    ledger.start(batch)
    assert (ledger.committable_with(batch), ledger.ends()) == (110, {})
    ledger.finish(batch)
    assert ledger.take_committable() == {TOPIC: 110}


def test_end_offsets_get_their_own_transaction_only_when_idle() -> None:
    """Only when nothing is in flight, and only for offsets beyond the committed ones."""
    ledger = Ledger()
    ledger.assign([TOPIC], {TOPIC: 100})
    ledger.reached_end(TOPIC, 100)
    before = ledger.committable_when_idle([TOPIC])
    batch = enter(ledger, 100)
    ledger.start(batch)
    ledger.reached_end(TOPIC, 111)
    during = ledger.committable_when_idle([TOPIC])
    ledger.finish(batch)
    after = ledger.committable_when_idle([TOPIC])
    ledger.mark_committed(after)
    assert (before, during, after, ledger.committable_when_idle([TOPIC])) == ({}, {}, {TOPIC: 111}, {})


def test_offsets_that_the_group_has_committed_are_not_committed_again() -> None:
    """A rebalance alone causes no commits."""
    ledger = Ledger()
    ledger.assign([TOPIC], {TOPIC: 100})
    ledger.reached_end(TOPIC, 100)
    assert (ledger.take_committable(), ledger.uncommitted([TOPIC])) == ({}, {})


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=30), st.randoms(use_true_random=False))
def test_committable_is_always_the_end_of_the_longest_finished_prefix(
    plan: list[tuple[int, bool]], order: random.Random
) -> None:
    """For all batch sizes and orders of completion the committable offset equals a naive recount."""
    ledger = granted()
    batches, next_offset = [], 0
    for size, _ in plan:
        batches.append(enter(ledger, next_offset, size))
        next_offset += size
    assert all(ledger.start(batch) for batch in batches)
    finishing = [batch for batch, (_, finishes) in zip(batches, plan, strict=True) if finishes]
    order.shuffle(finishing)
    committed = 0
    for done, batch in enumerate(finishing, 1):
        ledger.finish(batch)
        finished = set(map(id, finishing[:done]))
        prefix = 0
        for candidate in batches:
            if id(candidate) not in finished:
                break
            prefix = candidate.next_offset
        committed = ledger.take_committable().get(TOPIC, committed)
        assert committed == prefix
