"""The transaction coordinator: one state per transactional id, epochs, fencing and timeouts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError

from tests.simulation.group import Group
from tests.simulation.logs import ABORTED, COMMITTED, Entry, Topics
from tests.simulation.scheduler import Scheduler, Timer

_MARKER_SECONDS: Final = 0.02
EMPTY, ONGOING, ENDING, COMMITTED_STATE, ABORTED_STATE = "Empty", "Ongoing", "Ending", "CompleteCommit", "CompleteAbort"


class Transaction:
    """The coordinator's state of one transactional id."""

    __slots__ = ("epoch", "former_epoch", "partitions", "producer", "state", "timeout", "timer")

    def __init__(self, producer: int) -> None:
        self.producer = producer
        self.epoch = -1
        self.former_epoch = -1
        """The epoch that its own producer replaced last."""
        self.state = EMPTY
        self.partitions: set[tuple[str, int]] = set()
        self.timeout = 0.0
        self.timer: Timer | None = None


class Coordinator:
    """Keeps transactions. `on_ended` is called with the records and offsets that became visible."""

    def __init__(self, scheduler: Scheduler, topics: Topics, group: Group) -> None:
        self._scheduler, self._topics, self._group = scheduler, topics, group
        self.transactions: dict[str, Transaction] = {}
        self._producers = 0
        self.on_ended: Callable[[list[Entry], Mapping[tuple[str, int], tuple[int, str]]], None] = lambda *_: None

    def new_producer(self) -> int:
        """Return a producer id."""
        self._producers += 1
        return self._producers

    def begin_producer(self, name: str, timeout: float, epoch: int = -1) -> Any:
        """Fence other producers of this id; return its producer id and epoch, or an error code.

        The code means that an open transaction must end first. With `epoch`, a producer replaces its own epoch.
        """
        found = self.transactions.get(name)
        if found is None:
            found = self.transactions[name] = Transaction(self.new_producer())
        if epoch >= 0 and epoch == found.former_epoch:
            return found.producer, found.epoch
        if epoch >= 0 and epoch != found.epoch:
            return KafkaError.INVALID_PRODUCER_EPOCH
        if found.state == ENDING:
            return KafkaError.CONCURRENT_TRANSACTIONS
        if found.state == ONGOING:
            found.epoch += 1
            self._end(name, found, ABORTED)
            return KafkaError.CONCURRENT_TRANSACTIONS
        found.epoch, found.state, found.timeout, found.former_epoch = found.epoch + 1, EMPTY, timeout, epoch
        return found.producer, found.epoch

    def add(self, name: str, epoch: int, partitions: Iterable[tuple[str, int]]) -> int:
        """Add partitions to a transaction, and begin it with the first."""
        found = self.transactions[name]
        if epoch != found.epoch:
            return int(KafkaError.INVALID_PRODUCER_EPOCH)
        if found.state == ENDING:
            return int(KafkaError.CONCURRENT_TRANSACTIONS)
        if found.state != ONGOING:
            found.state = ONGOING
            found.timer = self._scheduler.later(found.timeout, lambda: self._time_out(name, epoch))
        found.partitions.update(partitions)
        return int(KafkaError.NO_ERROR)

    def verify(self, name: str, epoch: int, partition: tuple[str, int] | None = None) -> int:
        """Return an error code unless the open transaction may be written to."""
        found = self.transactions[name]
        if epoch != found.epoch:
            return int(KafkaError.INVALID_PRODUCER_EPOCH)
        if found.state != ONGOING or not (partition is None or partition in found.partitions):
            return int(KafkaError.INVALID_TXN_STATE)
        return int(KafkaError.NO_ERROR)

    def end(self, name: str, epoch: int, state: int) -> int:
        """Commit or abort. A repeated request gets the same response, if nothing has begun since."""
        found = self.transactions[name]
        if epoch != found.epoch:
            return int(KafkaError.INVALID_PRODUCER_EPOCH)
        if found.state == ENDING:
            return int(KafkaError.CONCURRENT_TRANSACTIONS)
        if found.state == ONGOING:
            self._end(name, found, state)
            return int(KafkaError.NO_ERROR)
        done = COMMITTED_STATE if state == COMMITTED else ABORTED_STATE
        return int(KafkaError.NO_ERROR if found.state == done else KafkaError.INVALID_TXN_STATE)

    def _time_out(self, name: str, epoch: int) -> None:
        found = self.transactions[name]
        if found.state == ONGOING and found.epoch == epoch:
            found.epoch += 1
            self._end(name, found, ABORTED)

    def _end(self, name: str, found: Transaction, state: int) -> None:
        """Decide, and write the markers a moment later; until then, no transaction can begin."""
        found.state = ENDING
        if found.timer is not None:
            found.timer.cancel()
        self._scheduler.later(
            self._scheduler.rng.random() * _MARKER_SECONDS, lambda: self._write_markers(name, found, state)
        )

    def _write_markers(self, name: str, found: Transaction, state: int) -> None:
        found.state = COMMITTED_STATE if state == COMMITTED else ABORTED_STATE
        partitions, found.partitions = found.partitions, set()
        entries: list[Entry] = []
        for tp in sorted(partitions):
            entries += self._topics.logs[tp].end_transaction(name, state)
        offsets = self._group.end_transaction(name, is_commit=state == COMMITTED)
        if state == COMMITTED:
            self.on_ended(entries, offsets)
