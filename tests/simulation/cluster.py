"""The broker of a simulation, with the network before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.simulation.group import Group
from tests.simulation.logs import COMMITTED, OPEN, Entry, Topics
from tests.simulation.network import Network
from tests.simulation.scheduler import Scheduler
from tests.simulation.transactions import Coordinator

NO_ERROR = 0


class Cluster:
    """Topics, one group, transactions. `on_appended` hears of records that are visible at once."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.network = Network(scheduler)
        self.topics = Topics()
        self.group = Group(scheduler, self.topics)
        self.transactions = Coordinator(scheduler, self.topics, self.group)
        self.on_appended: Callable[[list[Entry]], None] = lambda _entries: None

    def produce(  # what the request is made of
        self,
        tp: tuple[str, int],
        producer: int,
        epoch: int,
        sequence: int,
        records: list[tuple[bytes | None, bytes | None, Any]],
        transaction: str | None,
    ) -> int:
        """Append a batch; a repetition of one that is there already changes nothing. Returns an error's code, or 0."""
        log = self.topics.logs[tp]
        if transaction is not None and (code := self.transactions.verify(transaction, epoch, tp)):
            return code
        if sequence < log.sequences.get((producer, epoch), 0):
            return NO_ERROR
        log.sequences[producer, epoch] = sequence + len(records)
        state = COMMITTED if transaction is None else OPEN
        entries = [Entry(key, value, headers, state) for key, value, headers in records]
        for entry in entries:
            log.append(entry, transaction)
        if transaction is None:
            self.on_appended(entries)
            log.notify()
        return NO_ERROR

    def commit_in_transaction(
        self,
        name: str,
        epoch: int,
        group: tuple[str, int] | None,
        offsets: Mapping[tuple[str, int], tuple[int, str]],
    ) -> int:
        """Keep offsets until a transaction ends."""
        return self.transactions.verify(name, epoch) or self.group.commit_in_transaction(name, group, offsets)
