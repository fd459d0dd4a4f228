"""Reading a group's committed offsets, on a real broker."""

from __future__ import annotations

import asyncio
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition
from faust.types import TP

from tests.support.stream import Stream
from worker.kafka.committed_offsets import CommittedOffsets


async def test_committed_offsets_wait_for_an_open_transaction(group_stream: Stream) -> None:
    """With 5 committed and 7 in an open transaction the query waits and returns 7; other partitions have none."""
    address, topic, group = group_stream.address, group_stream.topics.patients, f"group-{uuid.uuid4().hex}"
    member = Consumer({"bootstrap.servers": address, "group.id": group})
    producer = Producer({"bootstrap.servers": address, "transactional.id": group})
    producer.init_transactions(60)
    for offset in (5, 7):
        producer.begin_transaction()
        producer.send_offsets_to_transaction([TopicPartition(topic, 0, offset)], member.consumer_group_metadata(), 60)
        if offset == 5:
            producer.commit_transaction(60)
    asked = CommittedOffsets({"bootstrap.servers": address}, group).read([TP(topic, 0), TP(topic, 1)])
    reading = asyncio.create_task(asked)
    finished, _ = await asyncio.wait([reading], timeout=2)
    producer.commit_transaction(60)
    assert (finished, await asyncio.wait_for(reading, 60)) == (set(), {TP(topic, 0): 7})
    member.close()
