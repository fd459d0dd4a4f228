"""The bounded queue between the consumer thread and the event loop."""

from __future__ import annotations

import asyncio
import threading

from tests.unit.worker.ledgers import enter, granted
from worker.kafka.batch import RecordBatch
from worker.kafka.batch_queue import BatchQueue


async def test_batches_come_out_in_order() -> None:
    """Batches that another thread puts are taken first in, first out."""
    ledger, queue = granted(), BatchQueue(asyncio.get_running_loop(), 1000)
    batches = [enter(ledger, first) for first in range(0, 100, 10)]
    thread = threading.Thread(target=lambda: [queue.put(batch) for batch in batches])
    thread.start()
    taken: list[RecordBatch] = []
    while len(taken) < len(batches):
        taken += await asyncio.wait_for(queue.take(), 30)
    thread.join()
    assert taken == batches


async def test_small_batches_are_bundled_and_a_large_one_is_alone() -> None:
    """A bundle has at most 500 records unless its only batch is larger; the order is kept."""
    ledger, queue = granted(), BatchQueue(asyncio.get_running_loop(), 8_000)
    sizes = [1, 499, 1, 600, 2]
    batches = [enter(ledger, 1_000 * number, size) for number, size in enumerate(sizes)]
    for batch in batches:
        queue.put(batch)
    bundles = [await asyncio.wait_for(queue.take(), 5) for _ in range(4)]
    assert bundles == [tuple(batches[:2]), (batches[2],), (batches[3],), (batches[4],)]


async def test_a_bundle_is_no_larger_than_a_batch_may_be() -> None:
    """A queue limit of two batches of one record bundles one record at a time."""
    ledger, queue = granted(), BatchQueue(asyncio.get_running_loop(), 2)
    for first in range(2):
        queue.put(enter(ledger, first, 1))
    assert [len(await asyncio.wait_for(queue.take(), 5)) for _ in range(2)] == [1, 1]


async def test_it_is_full_at_the_limit_and_accepts_batches_again_at_half() -> None:
    """A full queue accepts no batch until half of it is free (hysteresis)."""
    ledger, queue = granted(), BatchQueue(asyncio.get_running_loop(), 40)
    for first in range(0, 40, 10):
        queue.put(enter(ledger, first))
    assert queue.is_full()
    assert not queue.wait_for_room(0.0)
    await queue.take()
    assert queue.wait_for_room(0.0)


async def test_it_is_also_limited_by_bytes() -> None:
    """64 MiB fill it, however few records they are."""
    ledger, queue = granted(), BatchQueue(asyncio.get_running_loop(), 1_000_000)
    queue.put(enter(ledger, 0, 600_000))
    assert not queue.is_full()
    queue.put(enter(ledger, 600_000, 100_000))
    assert queue.is_full()


async def test_it_is_also_limited_to_eight_batches() -> None:
    """Small batches wait in the client, where they are merged into larger ones."""
    ledger, queue = granted(), BatchQueue(asyncio.get_running_loop(), 1_000_000)
    for first in range(8):
        assert not queue.is_full()
        queue.put(enter(ledger, first, 1))
    assert queue.is_full()
