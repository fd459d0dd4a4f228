"""An at-least-once worker whose offset commits are not answered, on a real broker."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from heartstream.demo.processes import Child
from tests.fakes.kafka_requests import OFFSET_COMMIT
from tests.fakes.losing_proxy import LosingProxy, Loss
from tests.support.proxied_broker import Broker
from tests.support.stream import Stream
from tests.support.waiting import await_condition
from tests.support.worker_health import checks, metric
from tests.support.workers import QUICK_EXPIRY, Workers, send_patients

SETTINGS = {**QUICK_EXPIRY, "HEARTSTREAM_KAFKA__OPTIONS__SOCKET_TIMEOUT_MS": "10000"}


class CommitLosingProxy(LosingProxy):
    """Drops every OffsetCommit request while `losing`, and nothing else."""

    losing = False

    def __init__(self, port: int, target: int) -> None:
        super().__init__(port, target, Loss.REQUEST)

    def _is_lost(self, message: bytes, _link: int, *, asks: bool) -> bool:
        return self.losing and asks and struct.unpack_from(">h", message) == (OFFSET_COMMIT,)


@pytest.fixture
def proxy(proxied: Broker) -> Iterator[CommitLosingProxy]:
    proxied.proxy.vanish()
    with CommitLosingProxy(proxied.proxy.port, proxied.proxy.target) as proxy:
        yield proxy
    proxied.proxy.heal()


def lose_commits(stream: Stream, proxy: CommitLosingProxy, worker: Child) -> int:
    """Drop commits while records flow, until the worker pauses; return the number of records that may be repeated."""
    send_patients(stream, 0, 400)
    stream.read_all()
    stream.await_commits(f"group-{stream.topics.patients}")
    proxy.losing = True

    def is_held() -> bool:
        send_patients(stream, len(stream.sent), len(stream.sent) + 20)
        return metric(worker, "consumption_paused", reason="commits") == 1

    await_condition(is_held, 30)
    stream.read_to_end()
    in_flight = len(stream.sent) - 400
    send_patients(stream, len(stream.sent), len(stream.sent) + 2_000)
    await_condition(lambda: (metric(worker, "consumer_lag_records") or 0) >= 2_000, 30)
    return in_flight


def test_reading_pauses_until_commits_succeed_again(
    proxied: Broker, proxied_stream: Stream, proxy: CommitLosingProxy, workers: Workers
) -> None:
    """The worker stays live and reports the reason; when commits succeed, every record is scored once and committed."""
    stream = proxied_stream
    with workers.start(proxied.proxied, **SETTINGS) as worker:
        lose_commits(stream, proxy, worker)
        assert "offset commits" in checks(worker, "/health/ready")[1]["commits"]
        assert checks(worker, "/health/live")[0] == 200
        proxy.losing = False
        stream.read_all()
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
        assert (metric(worker, "consumption_paused", reason="commits"), stream.repeated()) == (0, 0)
        worker.check()


def test_a_paused_worker_bounds_the_repeats_of_a_crash(
    proxied: Broker, proxied_stream: Stream, proxy: CommitLosingProxy, workers: Workers
) -> None:
    """Killed before a commit succeeds, its successor repeats only what was scored before reading paused."""
    stream = proxied_stream
    with workers.start(proxied.proxied, **SETTINGS) as worker:
        in_flight = lose_commits(stream, proxy, worker)
        worker.process.kill()
        worker.process.wait()
    with workers.start(stream.address, **SETTINGS):
        stream.read_all()
    assert 0 < stream.repeated() <= in_flight
