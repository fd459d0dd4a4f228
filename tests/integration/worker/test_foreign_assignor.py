"""Laws of a group in which another client has members with another assignor, on a real broker."""

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
    """Be a member of the workers' group, with an assignor that they do not offer."""
    own = {"client.id": CLIENT, "partition.assignment.strategy": "range", "enable.auto.commit": False, "log_level": 2}
    member = Consumer({"bootstrap.servers": stream.address, "group.id": group, **own})
    try:
        member.subscribe([stream.topics.patients])
        await_condition(lambda: member.poll(0.1) is None and bool(member.assignment()), 60)
        yield member
    finally:
        member.close()


def told_of_group(worker: Child) -> str:
    """Return what health says of the group; empty until the worker answers."""
    try:
        return checks(worker, "/health/ready")[1]["group"]
    except OSError:
        return ""


def test_a_foreign_assignor_is_named_and_the_worker_joins_afterwards(group_stream: Stream, workers: Workers) -> None:
    """Health and one log line name the other client and its assignor; once it has left, everything is scored."""
    stream, group = group_stream, workers.settings["HEARTSTREAM_WORKER__GROUP_ID"]
    with ExitStack() as theirs, ExitStack() as ours:
        theirs.enter_context(foreign_member(stream, group))
        worker = ours.enter_context(workers.start(stream.address))
        send_patients(stream, 0, 100)
        await_condition(lambda: CLIENT in told_of_group(worker), 60)
        told, began = told_of_group(worker), time.monotonic()
        assert "use the assignor range, this worker cooperative-sticky: it joins once they have left" in told
        while time.monotonic() < began + WATCHED_SECONDS:
            assert (checks(worker, "/health/live")[0], told_of_group(worker)) == (200, told)
            time.sleep(0.2)
        theirs.close()
        await_health(worker, "/health/ready", 200)
        stream.read_all()
    lines = [line for line in workers.logs().splitlines() if "group refuses worker" in line]
    assert (len(lines), CLIENT in lines[0], "range" in lines[0]) == (1, True, True)
    assert "INCONSISTENT_GROUP_PROTOCOL" not in workers.logs()
    assert (stream.answered, stream.repeated(), worker.process.returncode) == (100, 0, 0)
