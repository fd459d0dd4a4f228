"""Patients through Kafka, for pictures of what runs."""

from __future__ import annotations

import itertools
import random
import threading
from typing import Final

from confluent_kafka import Producer

from heartstream.demo.patients import demo_records
from schemas.topics import PATIENTS

BAD_SHARE: Final = 0.03
_TICK_SECONDS: Final = 0.1


def produce(broker: str, fewest: int, most: int, ending: threading.Event, bad_share: float = BAD_SHARE) -> None:
    """Send from `fewest` to `most` patients every tenth of a second, a few of them broken, until `ending` is set."""
    producer = Producer({"bootstrap.servers": broker, "linger.ms": 5, "log_level": 2})
    records, dice = demo_records(7, bad_share), random.Random(7)  # noqa: S311  # a picture is no secret
    while not ending.wait(_TICK_SECONDS):
        for record in itertools.islice(records, dice.randint(fewest, most)):
            producer.produce(PATIENTS, record.value, record.key)
        producer.poll(0)
    producer.flush(10)
