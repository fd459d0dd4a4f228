"""Timestamps that producers choose or omit, on a real broker: none is lost and none is invented."""

from __future__ import annotations

import json

import pytest

from runtime.kafka.messages import NO_TIMESTAMP
from tests.support.dlq_harness import DlqHarness, await_letters, columns, now
from tests.support.stream import DEADLINE_SECONDS
from tests.support.waiting import await_condition
from tests.support.worker_health import metric
from tests.support.workers import Workers, patient

BEFORE_1970, EARLIEST, SOON = -5_000_000_000, 1, now() + 50 * 60_000
"""Times that a broker takes, at its default settings; it refuses what is more than an hour ahead of it."""


def test_every_timestamp_survives_dead_letters(harness: DlqHarness, workers: Workers) -> None:
    """Unusual and missing timestamps are kept in dead letters, and are no latencies."""
    # One key, and so one partition: retention keeps what is old beside what is new.
    times = [NO_TIMESTAMP, BEFORE_1970, EARLIEST, SOON]
    for time in times:
        harness.record(b"k", b"%d" % time, timestamp=time)
    with workers.start(harness.address, HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO="1"):
        await_letters(harness, 4)
        letters = {letter.value: letter.timestamp for letter in harness.dead()}
        assert letters == {b"%d" % time: None if time == NO_TIMESTAMP else time for time in times}
        # The old ones could be deleted unread.
        assert harness.run("redrive", "--yes").stdout.splitlines()[0] == "redriven: 2 dead letters"
        await_letters(harness, 6)
    assert [one.timestamp for one in harness.patients()] == [*times, NO_TIMESTAMP, SOON]


def test_records_without_a_timestamp_have_no_latency(harness: DlqHarness, workers: Workers) -> None:
    """They are scored, and are in no time metric."""
    with workers.start(harness.address) as worker:
        worker.await_ready()
        for number in range(5):
            key, value = patient(number)
            harness.record(key, value, timestamp=NO_TIMESTAMP)
        await_condition(lambda: metric(worker, "records_total", outcome="scored") == 5, DEADLINE_SECONDS)
        await_condition(lambda: metric(worker, "in_flight_batches") == 0, DEADLINE_SECONDS)
        assert metric(worker, "end_to_end_latency_seconds_count") == 0


@pytest.mark.parametrize("stamped", [False, True])
def test_lists_show_missing_timestamps(harness: DlqHarness, stamped: bool) -> None:  # noqa: FBT001  # a parameter
    """Not the letter's append time; a time filter excludes the letter."""
    letter = harness.letter_of(harness.record(b"k", b"v", timestamp=NO_TIMESTAMP))
    letter.timestamp = now() if stamped else letter.timestamp
    harness.send(letter)
    (row,) = columns(harness.run("list").stdout)
    assert row[1] == "-"
    assert json.loads(harness.run("list", "--json").stdout)["time"] is None
    assert "time           none: the original record has no timestamp" in harness.run("show", row[0]).stdout
    bounds = (["--since", "1960-01-01"], ["--until", "2100-01-01"])
    assert [columns(harness.run("list", *bound).stdout) for bound in bounds] == [[], []]
    assert harness.run("redrive", "--until", "2100-01-01", "--yes").stdout == "redriven: 0 dead letters\n"
