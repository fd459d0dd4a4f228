"""The yardstick with transactions: results and offsets become visible together, 10,000 records at a time.

As bench.bare in all else. A transaction ends early when there is nothing more to read, so that no timer holds a record.
Any error ends the process; the broker then aborts what was open.
"""

from __future__ import annotations

import threading
from typing import Final

from confluent_kafka import Consumer, Producer, TopicPartition

from bench.bare import Sender, sources_of
from bench.task import BATCH_RECORDS, Task, consumer_config, producer_config, stop_on_sigterm

TRANSACTION_RECORDS: Final = 10_000
_POLL_SECONDS: Final = 0.1
_CALL_SECONDS: Final = 60.0


class Loop:
    """Consumes, scores, produces, and commits in transactions."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._consumer = Consumer(consumer_config(task.servers, task.group))
        options = {"transactional.id": task.group, "delivery.report.only.error": True}
        self._producer = Producer(producer_config(task.servers) | options)
        self._sender = Sender(self._producer, task.scores)
        self._producer.init_transactions(_CALL_SECONDS)
        self._consumer.subscribe([task.patients])

    def run(self, stopping: threading.Event) -> None:
        """Work until told to stop."""
        while not stopping.is_set():
            self._transact()
        self._consumer.close()

    def _transact(self) -> None:
        """Take up to 10,000 records, or what is there, through one transaction."""
        positions: dict[tuple[str, int], int] = {}
        records = 0
        while records < TRANSACTION_RECORDS:
            first = self._consumer.poll(0 if records else _POLL_SECONDS)
            if first is None:
                break
            messages = [first, *self._consumer.consume(BATCH_RECORDS - 1, 0)]
            if not records:
                self._producer.begin_transaction()
            records += len(messages)
            sources = sources_of(messages)
            self._sender.send(messages, self._task.score([message.value() for message in messages], sources))
            positions.update({(source.topic, source.partition): source.offset + 1 for source in sources})
        if not records:
            return
        offsets = [TopicPartition(topic, partition, offset) for (topic, partition), offset in positions.items()]
        self._producer.send_offsets_to_transaction(offsets, self._consumer.consumer_group_metadata(), _CALL_SECONDS)
        self._producer.commit_transaction(_CALL_SECONDS)


def main() -> None:
    """Run until SIGTERM."""
    stopping = stop_on_sigterm()
    Loop(Task.from_command_line("bench.bare_exactly_once", __doc__)).run(stopping)


if __name__ == "__main__":
    main()
