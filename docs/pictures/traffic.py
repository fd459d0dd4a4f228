"""Patients through Kafka, and what was found of them, for pictures of what runs."""

from __future__ import annotations

import itertools
import random
import threading
from typing import Final

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

from heartstream.demo.patients import demo_records, known_outcomes
from schemas.codec import decode_score
from schemas.records import KnownOutcome
from schemas.topics import OUTCOMES, PATIENTS, SCORES

BAD_SHARE: Final = 0.03
_TICK_SECONDS: Final = 0.1
_PARTITIONS: Final = 4


def produce(broker: str, fewest: int, most: int, ending: threading.Event) -> None:
    """Send from `fewest` to `most` patients every tenth of a second, a few of them broken, until told to end."""
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5, "log_level": 2})
    records, dice = demo_records(7, BAD_SHARE), random.Random(7)  # noqa: S311  # a picture is no secret
    while not ending.wait(_TICK_SECONDS):
        for record in itertools.islice(records, dice.randint(fewest, most)):
            producer.produce(PATIENTS, record.value, record.key)
        producer.poll(0)
    producer.flush(10)


def tell_outcomes(broker: str, share: float, ending: threading.Event) -> None:
    """Send what was found of a share of the patients that are scored, until told to end."""
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": "clinic", "auto.offset.reset": "earliest", "log_level": 2}
    )
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5, "log_level": 2})
    # Without the group, which a frozen broker may take from it for good.
    consumer.assign([TopicPartition(SCORES, number, 0) for number in range(_PARTITIONS)])
    found, dice = known_outcomes(), random.Random(9)  # noqa: S311  # a picture is no secret
    while not ending.is_set():
        for message in consumer.consume(500, 0.5):
            if message.error() is not None or dice.random() > share:
                continue
            score = decode_score(message.value() or b"")
            if (outcome := found.get(score.patient_id)) is not None:
                told = KnownOutcome(score.patient_id, outcome, score.source)
                producer.produce(OUTCOMES, msgspec.json.encode(told), score.patient_id)
        producer.poll(0)
    producer.flush(10)
    consumer.close()
