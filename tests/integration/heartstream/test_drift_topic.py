"""`heartstream drift --topic` on a real broker: the last records of the patients topic."""

from __future__ import annotations

import json

from heartstream.demo.patients import real_patients
from tests.support.dlq_harness import DlqHarness, drift_report, groups_of, now
from worker.kafka.outgoing_record import OutgoingRecord


def produce(harness: DlqHarness, site: str, began: int) -> None:
    """Produce a hospital's patients, a millisecond apart from `began` on."""
    for number, record in enumerate(each for each in real_patients() if str(each["patient_id"]).startswith(site)):
        value, key = json.dumps(record).encode(), str(record["patient_id"]).encode()
        harness.producer.produce(harness.topics.patients, value, key, timestamp=began + number)
    assert harness.producer.flush(60) == 0


def test_the_last_records_are_compared(harness: DlqHarness) -> None:
    """Cleveland came first: the last 200 records are Long Beach's, which drift; 1,000 include Cleveland's."""
    produce(harness, "cleveland", now() - 100_000)
    produce(harness, "va", now() - 10_000)
    harness.send(OutgoingRecord(harness.topics.patients, b"k", b"not json", (), now() - 100_001))
    last, everything = drift_report(harness, "--topic", "200"), drift_report(harness, "--topic", "1000")
    assert (last["drift"]["records"], last["drifts"], last["rejected"]) == (200, True, {})
    assert (everything["drift"]["records"], everything["rejected"]) == (503, {"not_json": 1})
    assert last["drift"]["missing"]["ca"] > everything["drift"]["missing"]["ca"] > 0.2
    assert groups_of(harness.address, harness.topics.patients) == set()


def test_cleveland_is_not_drift(harness: DlqHarness) -> None:
    """The model was trained on these patients."""
    produce(harness, "cleveland", now() - 10_000)
    assert not drift_report(harness, "--topic", "1000", "--fail-on-drift")["drifts"]
