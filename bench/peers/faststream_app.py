"""FastStream on confluent-kafka: a batch subscriber, scored in one call, and `publish_batch` with keys.

The batch is committed after it was published (AckPolicy.ACK; the default would be at-most-once).
"""

from __future__ import annotations

import asyncio

from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker, KafkaMessage, KafkaPublishMessage

from bench.task import TAKE_RECORDS, TAKE_SECONDS, Task
from schemas.records import Source


def new_broker(task: Task) -> KafkaBroker:
    """Make the broker with its one subscriber."""
    broker = KafkaBroker(
        task.servers, acks="all", compression_type="lz4", linger_ms=5, enable_idempotence=True, logger=None
    )

    async def score(batch: KafkaMessage) -> None:
        messages = batch.raw_message
        sources = [Source(m.topic(), m.partition(), m.offset()) for m in messages]
        values = task.score([m.value() for m in messages], sources)
        results = [KafkaPublishMessage(value, key=m.key()) for m, value in zip(messages, values, strict=True)]
        await broker.publish_batch(*results, topic=task.scores)

    subscriber = broker.subscriber(
        task.patients,
        batch=True,
        max_records=TAKE_RECORDS,
        polling_interval=TAKE_SECONDS,
        group_id=task.group,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.ACK,
    )
    subscriber(score)
    return broker


def main() -> None:
    """Run until SIGTERM."""
    asyncio.run(
        FastStream(new_broker(Task.from_command_line("bench.peers.faststream_app", __doc__)), logger=None).run()
    )


if __name__ == "__main__":
    main()
