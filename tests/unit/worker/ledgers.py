"""Ledgers with assigned partitions and batches in them, without Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from confluent_kafka import TIMESTAMP_CREATE_TIME
from faust.types import TP

from worker.kafka.batch import RecordBatch
from worker.kafka.ledger import Ledger
from worker.publisher import Publisher
from worker.scored_batch import ScoredBatch

TOPIC = TP("patients", 0)
OTHER = TP("patients", 1)


@dataclass
class FakeMessage:
    """Stands for a consumed message; librdkafka makes the real ones."""

    at: int
    written: float = field(default=1.0, kw_only=True)
    """Its timestamp in Unix time."""

    def offset(self) -> int:
        return self.at

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_CREATE_TIME, int(self.written * 1000)

    def __len__(self) -> int:
        return 100


def enter(ledger: Ledger, first: int, count: int = 10, tp: TP = TOPIC) -> RecordBatch:
    assignment = ledger.assignment(tp)
    assert assignment is not None
    batch = RecordBatch(tp, [FakeMessage(first + i) for i in range(count)], assignment)
    ledger.add(batch)
    return batch


def granted(*tps: TP) -> Ledger:
    ledger = Ledger()
    ledger.assign(tps or (TOPIC,))
    return ledger


class HeldGuarantee:
    """Stores what it is given, extends a flush while `more` is set, and confirms it when the test allows."""

    linger = 60.0

    def __init__(self) -> None:
        self.more = False
        self.rounds: list[list[ScoredBatch]] = []
        self.confirm = asyncio.Event()
        self.added = asyncio.Event()
        self.closing = asyncio.Event()
        self.lost: Sequence[ScoredBatch] = ()

    async def open(self) -> None:
        self.rounds.append([])

    async def add(self, scored_batch: ScoredBatch) -> None:
        self.rounds[-1].append(scored_batch)
        self.added.set()

    async def idle(self) -> None:
        """Do nothing: no offsets need a transaction of their own."""

    def accepts_more(self) -> bool:
        return self.more

    async def close(self, scored_batches: Sequence[ScoredBatch]) -> Sequence[ScoredBatch]:
        self.closing.set()
        await self.confirm.wait()
        return [scored_batch for scored_batch in scored_batches if scored_batch not in self.lost]


@asynccontextmanager
async def publishing(ledger: Ledger, guarantee: HeldGuarantee, flush_max_records: int = 30) -> AsyncIterator[Publisher]:
    clock = asyncio.get_running_loop().time
    publisher = Publisher(guarantee, ledger, flush_max_records, in_flight_max_records=20, clock=clock)
    task = asyncio.create_task(publisher.run())
    try:
        yield publisher
    finally:
        task.cancel()
