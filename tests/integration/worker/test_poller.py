"""Laws of the consumer's thread, on a real broker."""

from __future__ import annotations

import asyncio
import threading

from faust.types import TP

from runtime.settings import Settings
from tests.integration.stream import Stream
from worker.transport.driver import consumer_config
from worker.transport.handoff import Handoff
from worker.transport.ledger import Ledger
from worker.transport.poller import ConsumerOptions, Poller


class MeddledPoller(Poller):
    """A poller whose partitions somebody pauses once, on its own thread, as the client may be used by no other."""

    pause_now = threading.Event()

    def _turn(self) -> None:
        if self.pause_now.is_set():
            self._consumer.pause(self._consumer.assignment())
            self.pause_now.clear()
        super()._turn()


async def test_a_partition_that_is_left_paused_is_cured(stream: Stream) -> None:
    """A partition that stays paused without anybody wanting it (librdkafka #5591) is noticed and fetched anew."""
    names = {"BOOTSTRAP_SERVERS": stream.address}
    settings = Settings.from_mapping({f"HEARTSTREAM_KAFKA__{name}": text for name, text in names.items()})
    config = {**consumer_config(settings), "group.id": f"stall-{stream.topics.patients}"}
    ledger, handoff = Ledger(), Handoff(asyncio.get_running_loop(), 1000)
    options = ConsumerOptions(config, 100, commit_interval=0.2, drain_timeout=5, revoke_timeout=5, stall_limit=2)
    failures: list[BaseException] = []
    poller = MeddledPoller(options, ledger, handoff, on_assignment=lambda _: None, on_failure=failures.append)
    poller.subscribe([stream.topics.patients])
    try:
        stream.send(b"first", b"key")
        stream.flush()
        first = await handoff.take(60)
        assert first is not None
        assert ledger.start(first)
        ledger.finish(first)
        poller.pause_now.set()
        while poller.pause_now.is_set():
            await asyncio.sleep(0.01)
        stream.send(b"second", b"key")
        stream.flush()
        second = await handoff.take(60)
        assert second is not None
        assert (second.values(), second.tp, failures) == ([b"second"], TP(*first.tp), [])
    finally:
        poller.stop()
        await asyncio.to_thread(poller.join)
