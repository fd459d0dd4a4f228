"""Laws of a worker that cannot go on: the first cause ends it, with code 1, and is the one that is told."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import TopicPartition

from tests.integration.conftest import Workers
from tests.integration.stream import Stream
from tests.integration.worker.test_exactly_once import GUARANTEE
from tests.integration.worker.test_stream import send_patients


def reason_of_end(workers: Workers, address: str, **settings: str) -> str:
    """Run a worker until it ends by itself with code 1; returns what its last line tells."""
    with workers.start(address, **settings) as worker:
        assert worker.process.wait(90) == 1
    lines = [json.loads(line) for line in workers.logs().splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines].count("process failed") == 1
    assert workers.logs().splitlines()[-1].startswith("{")
    (failed,) = [line for line in lines if line["event"] == "process failed"]
    return str(failed["exception"])


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_committed_offset_beyond_the_end(stream: Stream, workers: Workers, guarantee: str) -> None:
    """The place, its end and the offset are told."""
    send_patients(stream, 0, 100)
    beyond = TopicPartition(stream.topics.patients, 0, 4_711)
    stream.commit(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"], [beyond])
    told = reason_of_end(workers, stream.address, **{GUARANTEE: guarantee})
    assert f"partition 0 of {stream.topics.patients} ends at offset {stream.end_of(0)}, the group is at 4711" in told
