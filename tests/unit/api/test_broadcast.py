"""Broadcasting live snapshots: bounded queues, bounded subscribers, and an end for all of them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from api.live.broadcast import Broadcast
from api.problem_details import ProblemError


def broadcast() -> Broadcast:
    numbers = iter(range(1_000))
    return Broadcast(lambda: str(next(numbers)).encode())


async def test_a_subscriber_gets_a_snapshot_at_once() -> None:
    """The first snapshot does not wait for the next second."""
    assert broadcast().subscribe().get_nowait() == b"0"


async def test_a_slow_subscriber_misses_snapshots() -> None:
    """A subscriber that does not read gets no third one; one that reads gets them all."""
    published = broadcast()
    slow, quick = published.subscribe(), published.subscribe()
    read = [quick.get_nowait()]
    for _ in range(3):
        published.publish_once()
        read.append(quick.get_nowait())
    assert read == [b"1", b"2", b"3", b"4"]
    assert [slow.get_nowait() for _ in range(slow.qsize())] == [b"0", b"2"]


async def test_the_twenty_first_subscriber_is_refused() -> None:
    """The twenty-first is refused with 503 until another one leaves."""
    published = broadcast()
    queues = [published.subscribe() for _ in range(20)]
    with pytest.raises(ProblemError) as refusal:
        published.subscribe()
    assert (refusal.value.status, refusal.value.retry_seconds) == (503, 5.0)
    published.unsubscribe(queues[0])
    published.subscribe()


async def test_closing_ends_every_subscription() -> None:
    """When the gateway stops, slow subscribers are disconnected too, and new ones are refused."""
    published = broadcast()
    queue = published.subscribe()
    published.publish_once()
    await published.close(cast("Any", None))
    assert (queue.get_nowait(), queue.qsize()) == (None, 0)
    with pytest.raises(ProblemError):
        published.subscribe()
