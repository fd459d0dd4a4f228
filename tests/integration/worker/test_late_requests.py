"""Exactly-once when duplicates of a transaction's requests arrive late, on a real broker."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial

import pytest

from tests.fakes.kafka_requests import ACCEPTED, ADD_PARTITIONS_TO_TXN, FENCED, Request
from tests.fakes.late_proxy import CommitProxy, LateProxy, Often
from tests.fakes.tcp_proxy import Link
from tests.support.proxied_broker import Broker
from tests.support.stream import Stream
from tests.support.waiting import await_condition
from tests.support.workers import EXACTLY_ONCE, QUICK_EXPIRY, Workers, send_patients

COUNT = int(os.environ.get("TEST_LATE_END_TXN", "8"))
"""How many EndTxn are late in the test of many."""
SETTINGS = {
    **EXACTLY_ONCE,
    **QUICK_EXPIRY,
    "HEARTSTREAM_KAFKA__OPTIONS__TRANSACTION_TIMEOUT_MS": "5000",
    "HEARTSTREAM_KAFKA__OPTIONS__DELIVERY_TIMEOUT_MS": "5000",
}
"""A worker that was killed, and what it left open, are missed soon."""


@pytest.fixture(scope="module")
def proxied(proxied: Broker) -> Broker:
    """Its proxy is closed: each test puts its own in its place."""
    proxied.proxy.vanish()
    return proxied


class Once:
    """Selects the first request of a name."""

    def __init__(self, name: str) -> None:
        self._name, self._is_due = name, True

    def __call__(self, request: Request) -> bool:
        picked = self._is_due and request.name == self._name
        self._is_due = self._is_due and not picked
        return picked


def test_a_late_commit_does_not_complete_the_next_transaction(
    proxied: Broker, proxied_stream: Stream, workers: Workers
) -> None:
    """The worker is killed in the transaction in which the previous commit arrives again: nothing is repeated."""
    stream = proxied_stream
    with LateProxy(proxied.proxy, Once("commit")) as late:
        late.listeners.append(lambda _: worker.process.send_signal(signal.SIGKILL))
        with workers.start(proxied.proxied, **SETTINGS) as worker:
            send_patients(stream, 0, 500)
            stream.read_until(lambda: stream.answered >= 500)
            send_patients(stream, 500, 1_000)
            worker.process.wait(60)
    finish(stream, workers)
    assert (stream.answered, stream.repeated(), late.answers["commit", ACCEPTED]) == (1_000, 0, 0)
    assert late.answers.total() == 1


def test_a_late_abort_does_not_abort_the_next_transaction(
    proxied: Broker, proxied_stream: Stream, workers: Workers
) -> None:
    """The group refuses a transaction's offsets, and its abort arrives again in the next one: nothing is lost."""
    stream = proxied_stream
    with LateProxy(proxied.proxy, Once("abort"), Once("offsets")) as late, workers.start(proxied.proxied, **SETTINGS):
        send_patients(stream, 0, 500)
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
        stream.read_to_end()
    assert (stream.answered, stream.repeated(), late.answers["abort", ACCEPTED]) == (500, 0, 0)
    assert late.answers.total() == 1


def test_late_offsets_do_not_move_the_group_back(proxied: Broker, proxied_stream: Stream, workers: Workers) -> None:
    """A transaction's offsets arrive again after those of the next one: the next worker repeats nothing."""
    stream = proxied_stream
    with LateProxy(proxied.proxy, Once("offsets")) as late, workers.start(proxied.proxied, **SETTINGS):
        for number in (1, 2):
            send_patients(stream, 0, 1)
            stream.read_until(partial(_has_answered, stream, number))
    finish(stream, workers)
    assert (stream.answered, stream.repeated(), late.answers["offsets", ACCEPTED]) == (2, 0, 0)
    assert late.answers.total() == 1


@pytest.mark.timeout(300 + 5 * COUNT)
def test_many_late_requests_lose_split_and_repeat_nothing(
    proxied: Broker, proxied_stream: Stream, workers: Workers
) -> None:
    """Random commits, aborts and offsets are late, and the group refuses half of the transactions at first."""
    stream = proxied_stream
    chosen, refused = Often(47, commit=0.9, abort=1, offsets=0.1), Often(48, offsets=0.5)
    with LateProxy(proxied.proxy, chosen, refused) as late, workers.start(proxied.proxied, **SETTINGS) as worker:
        while late.answers.total() - sum(late.answers["offsets", error] for error in FENCED) < COUNT:
            number = len(stream.sent)
            send_patients(stream, number, number + 40)
            stream.read_until(partial(_has_answered, stream, number))
            worker.check()
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
    finish(stream, workers)
    sys.stdout.write(f"late and their errors: {dict(late.answers)}; {len(stream.sent)} records\n")
    accepted = {name: count for (name, error), count in late.answers.items() if error == ACCEPTED}
    lost = len(stream.sent) - stream.answered
    assert (lost, accepted, stream.repeated(), worker.process.returncode) == (0, {}, 0, 0)


def _has_answered(stream: Stream, count: int) -> bool:
    return stream.answered >= count


def finish(stream: Stream, workers: Workers) -> None:
    """Let another worker score the rest, and read all outcomes."""
    with workers.start(stream.address, **SETTINGS):
        stream.read_all()
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
    stream.read_to_end()


class DeafProxy(CommitProxy):
    """Drops every AddPartitionsToTxn request, with its connection, while it `is_deaf`."""

    is_deaf = False

    async def pass_on(self, request: Request, link: Link) -> bytes | None:  # noqa: ARG002  # as in the base class
        return None if self.is_deaf and request.kind == ADD_PARTITIONS_TO_TXN else request.message


def test_a_transaction_that_never_reached_its_coordinator_can_be_aborted(
    proxied: Broker, proxied_stream: Stream, workers: Workers
) -> None:
    """No request to begin it arrives until its delivery times out: the worker aborts it and continues."""
    stream = proxied_stream
    with DeafProxy(proxied.proxy) as deaf, workers.start(proxied.proxied, **SETTINGS) as worker:
        send_patients(stream, 0, 500)
        stream.read_until(partial(_has_answered, stream, 500))
        deaf.is_deaf = True
        send_patients(stream, 500, 1_000)
        await_condition(lambda: "transaction aborted" in workers.logs(), 60)
        deaf.is_deaf = False
        stream.read_all()
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
        worker.check()
    assert (worker.process.returncode, stream.answered, stream.repeated()) == (0, 1_000, 0)
