"""Compares a challenger's scores, in a pod, and produces an outcome for each: `python challenger.py SHARE`.

The challenger is the champion's model, so its scores equal the champion's for the sampled records, byte for byte. Waits
until all have arrived, runs until /tmp/stop exists, and prints one line of JSON with the counts.
"""

from __future__ import annotations

import json
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from stream import PATIENCE_SECONDS, SERVERS, STOP, TICK_SECONDS

from schemas.codec import decode_score
from schemas.records import Source
from worker.shadow import Sample

Scores = dict[Source, bytes]


def from_the_starts(topics: tuple[str, ...]) -> Consumer:
    """Return a consumer of everything in these topics."""
    consumer = Consumer({**SERVERS, "group.id": "challenger", "enable.auto.commit": False})
    found = consumer.list_topics(timeout=30).topics
    consumer.assign([TopicPartition(topic, number, 0) for topic in topics for number in found[topic].partitions])
    return consumer


def sampled(scores: Scores, share: float) -> Scores:
    """Return the scores of the records that a challenger samples."""
    sample = Sample(share)
    return {source: score for source, score in scores.items() if sample.selects(source)}


def produce_outcome(producer: Producer, score: bytes) -> None:
    """Produce an outcome that equals the label."""
    found = decode_score(score)
    source = {name: getattr(found.source, name) for name in ("topic", "partition", "offset")}
    outcome = {"patient_id": found.patient_id, "outcome": found.label, "source": source}
    producer.produce("outcomes", json.dumps(outcome), found.patient_id)
    producer.poll(0)


def main(share: float) -> None:
    """Read until both topics agree, then produce the outcomes."""
    seen: dict[str, Scores] = {"scores": {}, "scores.shadow": {}}
    consumer = from_the_starts(tuple(seen))
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for message in consumer.consume(10_000, TICK_SECONDS):
            if message.error() is None:
                seen[message.topic()][decode_score(message.value()).source] = message.value()
        expected = sampled(seen["scores"], share)
        if expected and expected == seen["scores.shadow"]:
            break
    producer = Producer(SERVERS)
    for score in seen["scores.shadow"].values():
        produce_outcome(producer, score)
    producer.flush()
    missing, other = expected.keys() - seen["scores.shadow"].keys(), seen["scores.shadow"].items() - expected.items()
    line = {"scores": len(seen["scores"]), "shadow": len(expected), "missing": len(missing), "other": len(other)}
    print(json.dumps(line), flush=True)
    while not STOP.exists():
        time.sleep(TICK_SECONDS)


if __name__ == "__main__":
    main(float(sys.argv[1]))
