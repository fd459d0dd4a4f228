"""Faust's fetcher, which runs our consumer's reading."""

from __future__ import annotations

import asyncio
from typing import cast

import faust
import pytest
from faust.transport.consumer import Fetcher

from runtime.settings import Settings
from worker.kafka.batch_queue import BatchQueue
from worker.kafka.consumer import LibrdkafkaConsumer
from worker.kafka.faust_transport import LibrdkafkaTransport
from worker.kafka.ledger import Ledger


@pytest.mark.parametrize("rebalancing", [False, True])
async def test_a_stop_is_no_crash(rebalancing: bool) -> None:  # noqa: FBT001  # a parameter of the test
    """Not even while partitions are assigned, when Faust's own reading is to crash."""
    app = faust.App("test", broker="librdkafka://")
    app.transport = LibrdkafkaTransport(app, Settings(), Ledger())
    cast("LibrdkafkaConsumer", app.consumer)._queue = BatchQueue(asyncio.get_running_loop(), limit=1)
    fetcher = Fetcher(app)
    await fetcher.start()
    # Twice: the task starts, and it waits for a batch.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    app.rebalancing = rebalancing
    await asyncio.wait_for(fetcher.stop(), 10)
    assert not fetcher.crashed
