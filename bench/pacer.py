"""Produces records at a steady rate, and notes when: a process of its own, so that nothing shares its interpreter.

example: python -m bench.pacer --servers localhost:9092 --topic patients --records 5000 --rate 1000 times.bin
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
from confluent_kafka import Producer

from bench.load import records
from heartstream.terminal.exit_codes import errors_to_exit_codes

_FLUSH_SECONDS: Final = 30.0
PROBE_KEY: Final = b"probe"
_PROBE_VALUE: Final = (
    b'{"patient_id":"probe","age":63,"sex":1,"cp":1,"trestbps":145,"chol":233,"fbs":1,"restecg":2,"thalach":150,'
    b'"exang":0,"oldpeak":2.3,"slope":3,"ca":0,"thal":6}'
)


def probe(producer: Producer, topic: str) -> None:
    """Write one record that is not counted, and wait until it is there: afterwards connections are open."""
    producer.produce(topic, _PROBE_VALUE, PROBE_KEY)
    if producer.flush(_FLUSH_SECONDS):
        raise SystemExit("the broker did not take a record")


def pace(servers: str, topic: str, count: int, rate: float) -> list[int]:
    """Produce `count` records at `rate` a second; returns when each was handed to the client, in monotonic ns.

    A record that is late does not move those after it: each has its own moment.
    """
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "log_level": 2,
            "acks": "all",
            "linger.ms": 0,
            "partitioner": "murmur2_random",
        }
    )
    ready = list(records(count))
    probe(producer, topic)
    gc.collect()
    gc.disable()
    times: list[int] = []
    start = time.monotonic() + 0.1
    for number, (key, value) in enumerate(ready):
        wait = start + number / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        times.append(time.monotonic_ns())
        producer.produce(topic, value, key)
        producer.poll(0)
    if producer.flush(_FLUSH_SECONDS):
        raise SystemExit("the broker did not take all records")
    return times


@errors_to_exit_codes()
def main() -> None:
    """Pace, and write the times as 64-bit integers."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.pacer", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--servers", required=True, help="bootstrap address")
    parser.add_argument("--topic", required=True, help="an existing topic")
    parser.add_argument("--records", type=int, required=True, help="how many")
    parser.add_argument("--rate", type=float, required=True, help="records a second")
    parser.add_argument("file", type=Path, help="where to write the times")
    asked = parser.parse_args(sys.argv[1:])
    times = pace(asked.servers, asked.topic, asked.records, asked.rate)
    asked.file.write_bytes(np.array(times, dtype=np.int64).tobytes())


if __name__ == "__main__":
    main()
