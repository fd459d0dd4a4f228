"""`heartstream drift --topic` on a real broker: the last records of the patients topic, and no more."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from heartstream.demo.patients import real_patients
from tests.integration.heartstream.desk import Desk, groups_of, now
from worker.transport.outgoing import OutgoingRecord


def asked(desk: Desk, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "heartstream", "drift", "--json", *arguments],
        env=desk.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def produce(desk: Desk, site: str, began: int) -> None:
    """Put a hospital's patients on the topic, a millisecond after each other from `began` on."""
    for number, record in enumerate(each for each in real_patients() if str(each["patient_id"]).startswith(site)):
        value, key = json.dumps(record).encode(), str(record["patient_id"]).encode()
        desk.producer.produce(desk.topics.patients, value, key, timestamp=began + number)
    assert desk.producer.flush(60) == 0


def test_the_last_records_are_compared(desk: Desk) -> None:
    """Cleveland came first: the last 200 are Long Beach's, which drift; more reach back to Cleveland."""
    produce(desk, "cleveland", now() - 100_000)
    produce(desk, "va", now() - 10_000)
    desk.send(OutgoingRecord(desk.topics.patients, b"k", b"not json", (), now() - 100_001))
    last, everything = asked(desk, "--topic", "200"), asked(desk, "--topic", "1000")
    assert (last["drift"]["records"], last["drifts"], last["rejected"]) == (200, True, {})
    assert (everything["drift"]["records"], everything["rejected"]) == (503, {"not_json": 1})
    assert last["drift"]["missing"]["ca"] > everything["drift"]["missing"]["ca"] > 0.2
    assert groups_of(desk.address, desk.topics.patients) == set()


def test_cleveland_alone_is_no_drift(desk: Desk) -> None:
    """The patients that the model was trained on."""
    produce(desk, "cleveland", now() - 10_000)
    assert not asked(desk, "--topic", "1000", "--fail-on-drift")["drifts"]
