"""Exactly-once at its edges: crashes and rebalances within transactions, oversized dead letters, fencing."""

from __future__ import annotations

import os
import signal
import time

import pytest

from schemas.topics import VALUE_OMITTED_HEADER
from tests.support.stream import Stream
from tests.support.workers import (
    EXACTLY_ONCE,
    GUARANTEE,
    QUICK_EXPIRY,
    Workers,
    crash_three_times,
    patient,
    send_patients,
)


def test_results_and_offsets_are_committed_together(group_stream: Stream, workers: Workers) -> None:
    """Valid and invalid records have one outcome each, and the group's offsets are the end offsets."""
    stream = group_stream
    send_patients(stream, 0, 5_000)
    for number in range(200):
        stream.send(b'{"not": "a patient"}', str(number).encode())
    with workers.start(stream.address, **EXACTLY_ONCE):
        stream.read_all()
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
    assert (stream.answered, stream.repeated()) == (5_200, 0)


def test_a_crash_within_a_transaction_repeats_nothing(group_stream: Stream, workers: Workers) -> None:
    """After three SIGKILLs a read_committed consumer sees each result once."""
    stream = group_stream
    send_patients(stream, 0, 40_000)
    settings = {**EXACTLY_ONCE, **QUICK_EXPIRY, "HEARTSTREAM_WORKER__BATCH_RECORDS": "20"}
    crash_three_times(stream, workers, settings, every=2_000)
    assert (stream.answered, stream.repeated()) == (40_000, 0)


def join_and_leave(stream: Stream, workers: Workers, settings: dict[str, str]) -> None:
    """Send 20,000 records while a second worker joins and leaves; wait until all outcomes are committed."""
    settings = {**settings, "HEARTSTREAM_WORKER__BATCH_RECORDS": "50"}
    with workers.start(stream.address, **settings) as first:
        first.await_ready()
        send_patients(stream, 0, 10_000)
        with workers.start(stream.address, **settings) as second:
            send_patients(stream, 10_000, 15_000)
            second.await_ready()
            send_patients(stream, 15_000, 20_000)
        stream.read_all()
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])


def test_a_rebalance_within_transactions_repeats_nothing(group_stream: Stream, workers: Workers) -> None:
    """A second worker joins and leaves while records flow: nothing is lost, nothing is repeated."""
    join_and_leave(group_stream, workers, EXACTLY_ONCE)
    assert (group_stream.answered, group_stream.repeated()) == (20_000, 0)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_an_oversized_dead_letter_is_sent_without_its_value(
    group_stream: Stream, workers: Workers, guarantee: str
) -> None:
    """Letters above the topic's limit state their value's size instead; other letters and all scores are complete."""
    stream = group_stream
    stream.limit_dead_letters(20_000)
    # Random, as the limit is on compressed bytes.
    large = [os.urandom(30_000) for _ in range(3)]
    small = [os.urandom(300) for _ in range(500)]
    for number, value in enumerate([*small[:250], *large, *small[250:]]):
        stream.send(value, f"letter-{number}".encode())
    for number in range(1_000):
        key, value = patient(number)
        stream.send(value, key)
    stream.flush()
    with workers.start(stream.address, **{GUARANTEE: guarantee}):
        stream.read_all()
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
    letters = [result for results in stream.results.values() for result in results if result.letter is not None]
    values = sorted(result.value for result in letters if result.value is not None)
    omitted = [dict(result.headers).get(VALUE_OMITTED_HEADER) for result in letters if result.value is None]
    assert (stream.answered, stream.repeated()) == (1_503, 0)
    assert (values, omitted) == (sorted(small), [b"30000"] * 3)


def test_workers_with_the_consumer_group_protocol_lose_and_repeat_nothing(
    group_stream: Stream, workers: Workers
) -> None:
    """With KIP-848 a second worker joins and leaves while records flow: every record has one outcome."""
    join_and_leave(group_stream, workers, {"HEARTSTREAM_WORKER__GROUP_PROTOCOL": "consumer"})
    assert (group_stream.answered, group_stream.repeated()) == (20_000, 0)


def test_a_transaction_that_timed_out_is_repeated(group_stream: Stream, workers: Workers) -> None:
    """A worker that was suspended beyond the transaction timeout continues, and each result exists once."""
    stream = group_stream
    slow = {**EXACTLY_ONCE, "HEARTSTREAM_KAFKA__OPTIONS__TRANSACTION_TIMEOUT_MS": "1000"}
    slow |= {"HEARTSTREAM_KAFKA__OPTIONS__DELIVERY_TIMEOUT_MS": "1000", "HEARTSTREAM_WORKER__BATCH_RECORDS": "20"}
    with workers.start(stream.address, **slow) as worker:
        worker.await_ready()
        first = 0
        while "producer replaced" not in workers.logs():
            send_patients(stream, first, first + 10_000)
            first += 10_000
            stream.read_until(lambda: stream.answered >= len(stream.sent) - 8_000)
            worker.process.send_signal(signal.SIGSTOP)
            # The coordinator looks for late transactions every ten seconds.
            time.sleep(13)
            worker.process.send_signal(signal.SIGCONT)
            stream.read_all()
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
        worker.check()
    assert (worker.process.returncode, stream.repeated(), stream.answered) == (0, 0, len(stream.sent))


def test_a_worker_whose_static_membership_is_taken_over_stops(group_stream: Stream, workers: Workers) -> None:
    """Both have the transactional id of the static member: the newer one continues, whichever is fenced first."""
    stream = group_stream
    settings = {
        **EXACTLY_ONCE,
        "HEARTSTREAM_WORKER__INSTANCE_ID": "the-same",
        "HEARTSTREAM_WORKER__BATCH_RECORDS": "20",
    }
    send_patients(stream, 0, 20_000)
    with workers.start(stream.address, **settings) as first:
        stream.read_until(lambda: stream.answered >= 1_000)
        with workers.start(stream.address, **settings) as second:
            code = first.process.wait(60)
            stream.read_all()
            second.check()
    assert (code, stream.answered, stream.repeated()) == (1, 20_000, 0)
