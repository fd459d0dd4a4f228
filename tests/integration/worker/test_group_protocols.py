"""A consumer group that migrates between the classic and the consumer group protocol, on a real broker."""

from __future__ import annotations

import signal

from tests.support.stream import Stream
from tests.support.workers import PROTOCOL, Workers, send_patients

CLASSIC, CONSUMER = {PROTOCOL: "classic"}, {PROTOCOL: "consumer"}


def test_classic_to_consumer_needs_all_workers_to_stop(group_stream: Stream, workers: Workers) -> None:
    """A worker with the consumer protocol ends with the reason while classic ones run, and works after they stopped."""
    stream, group = group_stream, workers.settings["HEARTSTREAM_WORKER__GROUP_ID"]
    with workers.start(stream.address, **CLASSIC) as first:
        send_patients(stream, 0, 5_000)
        # The group must have seen a rebalance: members of a first generation have no assignor's data to lose.
        first.await_ready()
        with workers.start(stream.address, **CLASSIC) as second:
            stream.await_members(group, 2)
            second.await_ready()
            with workers.start(stream.address, **CONSUMER) as refused:
                assert refused.process.wait(60) == 1
            assert "stop the former first" in workers.logs()
            send_patients(stream, 5_000, 10_000)
    send_patients(stream, 10_000, 15_000)
    with workers.start(stream.address, **CONSUMER) as after:
        stream.read_all()
        stream.await_commits(group)
        after.check()
    assert (stream.answered, stream.repeated()) == (15_000, 0)


def test_consumer_to_classic_is_a_rolling_change(group_stream: Stream, workers: Workers) -> None:
    """A classic worker joins while records flow, and the last one with the consumer protocol leaves."""
    stream, group = group_stream, workers.settings["HEARTSTREAM_WORKER__GROUP_ID"]
    with workers.start(stream.address, **CONSUMER) as old:
        old.await_ready()
        send_patients(stream, 0, 5_000)
        with workers.start(stream.address, **CLASSIC) as new:
            send_patients(stream, 5_000, 10_000)
            new.await_ready()
            stream.await_members(group, 2)
            old.process.send_signal(signal.SIGTERM)
            assert old.process.wait(60) == 0
            send_patients(stream, 10_000, 15_000)
            stream.read_all()
            stream.await_commits(group)
            new.check()
    assert (stream.answered, stream.repeated()) == (15_000, 0)
