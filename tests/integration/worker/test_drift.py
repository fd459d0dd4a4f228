"""Drift metrics of a real worker: the training hospital's patients raise no alert, another hospital's raise both."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator

from heartstream.demo.patients import Record
from tests.support.drift import INPUTS, SCORES, drift_metrics, drifting, patients_of, scrape
from tests.support.stream import Stream
from tests.support.workers import Workers

WINDOW = 600
DEADLINE_SECONDS = 120.0


def send(stream: Stream, patients: Iterator[Record]) -> None:
    """Send 200 patients through the stream."""
    for patient in itertools.islice(patients, 200):
        stream.send(json.dumps(patient).encode(), str(patient["patient_id"]).encode())
    stream.read_all()


def test_cleveland_is_not_drift_and_long_beach_is(stream: Stream, workers: Workers) -> None:
    """As seen at /metrics: first no values, then no alert, then the conditions of both alerts."""
    settings = {"HEARTSTREAM_DRIFT__WINDOW_RECORDS": str(WINDOW), "HEARTSTREAM_WORKER__BATCH_RECORDS": "50"}
    with workers.start(stream.address, **settings) as worker:
        worker.await_ready()
        assert drift_metrics(scrape(worker)) == {"window_records": 0}
        cleveland, deadline = patients_of("cleveland", 1), time.monotonic() + DEADLINE_SECONDS
        while drift_metrics(seen := scrape(worker))["window_records"] < WINDOW:
            assert time.monotonic() < deadline, drift_metrics(seen)
            assert drifting(seen) == set(), drift_metrics(seen)
            send(stream, cleveland)
        assert drifting(seen) == set(), drift_metrics(seen)
        assert len(drift_metrics(seen)) == 3 * 13 + 2
        va, deadline = patients_of("va", 2), time.monotonic() + DEADLINE_SECONDS
        while drifting(seen := scrape(worker)) != {INPUTS, SCORES}:
            assert time.monotonic() < deadline, drift_metrics(seen)
            send(stream, va)
    assert '"watches_drift": true' in workers.logs()
