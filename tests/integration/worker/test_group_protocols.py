"""Laws of a group whose workers change from one group protocol to the other, on a real broker."""

from __future__ import annotations

import signal

import pytest

from tests.integration.conftest import Workers
from tests.integration.stream import Stream
from tests.integration.worker.test_exactly_once import GUARANTEE
from tests.integration.worker.test_recreated_topic import PROTOCOL
from tests.integration.worker.test_stream import send_patients


@pytest.mark.parametrize(
    ("guarantee", "before", "after"),
    [
        ("at_least_once", "classic", "consumer"),
        ("exactly_once", "classic", "consumer"),
        ("at_least_once", "consumer", "classic"),
    ],
)
def test_workers_of_both_protocols_share_a_group(
    group_stream: Stream, workers: Workers, guarantee: str, before: str, after: str
) -> None:
    """As in a rolling update: a worker of the new protocol joins in mid-stream, and the old one leaves."""
    stream = group_stream
    common = {GUARANTEE: guarantee, "HEARTSTREAM_WORKER__BATCH_RECORDS": "50"}
    with workers.start(stream.address, **common, **{PROTOCOL: before}) as old:
        old.await_ready()
        send_patients(stream, 0, 5_000)
        with workers.start(stream.address, **common, **{PROTOCOL: after}) as new:
            send_patients(stream, 5_000, 10_000)
            new.await_ready()
            stream.await_members(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"], 2)
            send_patients(stream, 10_000, 15_000)
            old.process.send_signal(signal.SIGTERM)
            assert old.process.wait(60) == 0
            send_patients(stream, 15_000, 20_000)
            stream.read_all()
            stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
            new.check()
    assert (old.process.returncode, new.process.returncode) == (0, 0)
    assert (stream.answered, stream.repeated()) == (20_000, 0)
