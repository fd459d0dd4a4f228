"""The broker of a simulation, and the network in front of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import KafkaError

from tests.simulation.group import Group
from tests.simulation.logs import COMMITTED, OPEN, Entry, Topics
from tests.simulation.network import Network
from tests.simulation.scheduler import Scheduler
from tests.simulation.transactions import Coordinator

NO_ERROR = 0


class Cluster:
    """Topics, one group, and transactions. `on_appended` is called with records that are visible at once."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.network = Network(scheduler)
        self.topics = Topics()
        self.group = Group(scheduler, self.topics)
        self.transactions = Coordinator(scheduler, self.topics, self.group)
        self.on_appended: Callable[[list[Entry]], None] = lambda _entries: None

    def produce(  # the fields of the request
        self,
        tp: tuple[str, int],
        producer: int,
        epoch: int,
        sequence: int,
        records: list[tuple[bytes | None, bytes | None, Any]],
        transaction: str | None,
    ) -> tuple[int, int]:
        """Append a batch; a repeated batch changes nothing.

        Returns 0 and its first offset, or an error code and -1.
        """
        log = self.topics.logs[tp]
        if transaction is not None and (code := self.transactions.verify(transaction, epoch, tp)):
            return code, -1
        if sum(len(value or b"") for _, value, _ in records) > self.topics.most_bytes[tp[0]]:
            return int(KafkaError.MSG_SIZE_TOO_LARGE), -1
        expected, first = log.sequences.get((producer, epoch), (0, -1))
        if sequence < expected:
            return NO_ERROR, first
        if sequence > expected:
            return int(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER), -1
        first = len(log.entries)
        log.sequences[producer, epoch] = sequence + len(records), first
        state = COMMITTED if transaction is None else OPEN
        entries = [Entry(key, value, headers, state) for key, value, headers in records]
        for entry in entries:
            log.append(entry, transaction)
        if transaction is None:
            self.on_appended(entries)
        log.notify()
        return NO_ERROR, first

    def commit_in_transaction(
        self,
        name: str,
        epoch: int,
        group: tuple[str, int] | None,
        offsets: Mapping[tuple[str, int], tuple[int, str]],
    ) -> int:
        """Keep offsets until the transaction ends."""
        return self.transactions.verify(name, epoch) or self.group.commit_in_transaction(name, group, offsets)
