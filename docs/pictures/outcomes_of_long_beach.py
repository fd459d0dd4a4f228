"""Prints what `heartstream outcomes` says of Long Beach's patients and the logistic regression, for docs/drift.md.

    heartstream train --output model && PYTHONPATH=. python docs/pictures/outcomes_of_long_beach.py model

A broker, a worker, 200 records and their outcomes. Needs the `dev` dependency group.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from confluent_kafka import Consumer, Producer

from heartstream.brokers import running_broker
from heartstream.demo.patients import known_outcomes, real_patients
from heartstream.demo.processes import running
from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from runtime.settings import Topics

TOPICS: Final = Topics()
WAIT_SECONDS: Final = 60.0


def scored(address: str, model: Path) -> None:
    """Write the records, and wait for their scores."""
    patients = [each for each in real_patients() if str(each["patient_id"]).startswith("va-")]
    outcomes = known_outcomes()
    producer = Producer({"bootstrap.servers": address})
    port, settings = free_port(), settings_of(address, model)
    consumer = Consumer({"bootstrap.servers": address, "group.id": "picture", "auto.offset.reset": "earliest"})
    consumer.subscribe([TOPICS.scores])
    settings["HEARTSTREAM_TELEMETRY__PORT"] = str(port)
    with tempfile.TemporaryDirectory() as folder:
        with running("worker", settings, f"http://127.0.0.1:{port}", Path(folder) / "worker.log") as worker:
            worker.await_ready()
            for each in patients:
                producer.produce(TOPICS.patients, json.dumps(each), str(each["patient_id"]))
            producer.flush()
            found = consumer.consume(len(patients), WAIT_SECONDS)
        if len(found) != len(patients):
            raise SystemExit(f"{len(found)} of {len(patients)} records have a score")
    consumer.close()
    for each in patients:
        patient = str(each["patient_id"])
        producer.produce(TOPICS.outcomes, json.dumps({"patient_id": patient, "outcome": outcomes[patient]}), patient)
        # One after the other: the newest hundred are those of the last hundred patients.
        producer.flush()


def settings_of(address: str, model: Path) -> dict[str, str]:
    """Return the settings of worker and command."""
    return {
        "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": address,
        "HEARTSTREAM_MODEL__PATH": str(model),
        "HEARTSTREAM_MODEL__NAME": "logistic_regression",
    }


def main() -> None:
    """Print it."""
    model = Path(sys.argv[1])
    with running_broker("embedded", None) as address:
        create_topics(address, [TOPICS.patients, TOPICS.scores, TOPICS.dead_letters, TOPICS.outcomes], 4, {})
        scored(address, model)
        command = [sys.executable, "-m", "heartstream", "outcomes", "--window", "100"]
        subprocess.run(command, env=os.environ | settings_of(address, model), check=True)  # noqa: S603  # our own command


if __name__ == "__main__":
    main()
