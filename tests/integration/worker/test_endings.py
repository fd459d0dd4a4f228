"""A worker that cannot continue exits with code 1 and reports the first cause."""

from __future__ import annotations

import pytest
from confluent_kafka import TopicPartition

from tests.support.stream import Stream
from tests.support.workers import GUARANTEE, Workers, reason_of_end, send_patients


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_committed_offset_beyond_the_end_stops_the_worker(stream: Stream, workers: Workers, guarantee: str) -> None:
    """The error names the partition, its end and the committed offset."""
    send_patients(stream, 0, 100)
    beyond = TopicPartition(stream.topics.patients, 0, 4_711)
    stream.commit(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"], [beyond])
    reason = reason_of_end(workers, stream.address, **{GUARANTEE: guarantee})
    assert f"partition 0 of {stream.topics.patients} ends at offset {stream.end_of(0)}, the group is at 4711" in reason
