"""A consumer group in which another client uses a different assignor, on a real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from confluent_kafka import Consumer

from heartstream.demo.processes import Child
from tests.support.stream import Stream
from tests.support.waiting import await_condition
from tests.support.worker_health import await_health, checks
from tests.support.workers import Workers, send_patients

CLIENT, WATCHED_SECONDS = "reports-of-others", 12.0


@contextmanager
def foreign_member(stream: Stream, group: str) -> Iterator[Consumer]:
    """Join the workers' group with an assignor that they do not support."""
    own = {"client.id": CLIENT, "partition.assignment.strategy": "range", "enable.auto.commit": False, "log_level": 2}
    member = Consumer({"bootstrap.servers": stream.address, "group.id": group, **own})
    try:
        member.subscribe([stream.topics.patients])
        await_condition(lambda: member.poll(0.1) is None and bool(member.assignment()), 60)
        yield member
    finally:
        member.close()


def group_status(worker: Child) -> str:
    """Return what the health check reports of the group; empty until the worker answers."""
    try:
        return checks(worker, "/health/ready")[1]["group"]
    except OSError:
        return ""


def test_another_assignor_is_reported_and_the_worker_joins_once_it_is_gone(
    group_stream: Stream, workers: Workers
) -> None:
    """Health and one log line name the other client and its assignor; when it leaves, every record is scored."""
    stream, group = group_stream, workers.settings["HEARTSTREAM_WORKER__GROUP_ID"]
    with ExitStack() as theirs, ExitStack() as ours:
        theirs.enter_context(foreign_member(stream, group))
        worker = ours.enter_context(workers.start(stream.address))
        send_patients(stream, 0, 100)
        await_condition(lambda: CLIENT in group_status(worker), 60)
        status, began = group_status(worker), time.monotonic()
        assert "use the assignor range, this worker cooperative-sticky: it joins once they have left" in status
        while time.monotonic() < began + WATCHED_SECONDS:
            assert (checks(worker, "/health/live")[0], group_status(worker)) == (200, status)
            time.sleep(0.2)
        theirs.close()
        await_health(worker, "/health/ready", 200)
        stream.read_all()
    lines = [line for line in workers.logs().splitlines() if "group refuses worker" in line]
    assert (len(lines), CLIENT in lines[0], "range" in lines[0]) == (1, True, True)
    assert "INCONSISTENT_GROUP_PROTOCOL" not in workers.logs()
    assert (stream.answered, stream.repeated(), worker.process.returncode) == (100, 0, 0)
