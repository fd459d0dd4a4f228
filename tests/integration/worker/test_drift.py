"""Drift, told by a real worker: the training hospital's patients raise no alert, another hospital's raise both."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator

from heartstream.demo.patients import Record
from tests.support.drift import INPUTS, SCORES, drifting, patients_of, shown, told
from tests.support.stream import Stream
from tests.support.workers import Workers

WINDOW = 600
DEADLINE_SECONDS = 120.0


def send(stream: Stream, patients: Iterator[Record]) -> None:
    """Let 200 patients through the stream."""
    for patient in itertools.islice(patients, 200):
        stream.send(json.dumps(patient).encode(), str(patient["patient_id"]).encode())
    stream.read_all()


def test_cleveland_alone_is_no_drift_and_long_beach_after_it_is(stream: Stream, workers: Workers) -> None:
    """As an operator sees it, at /metrics: nothing at first, then all well, then both alerts' conditions."""
    settings = {"HEARTSTREAM_DRIFT__WINDOW_RECORDS": str(WINDOW), "HEARTSTREAM_WORKER__BATCH_RECORDS": "50"}
    with workers.start(stream.address, **settings) as worker:
        worker.await_ready()
        assert told(shown(worker)) == {"window_records": 0}
        cleveland, deadline = patients_of("cleveland", 1), time.monotonic() + DEADLINE_SECONDS
        while told(seen := shown(worker))["window_records"] < WINDOW:
            assert time.monotonic() < deadline, told(seen)
            assert drifting(seen) == set(), told(seen)
            send(stream, cleveland)
        assert drifting(seen) == set(), told(seen)
        assert len(told(seen)) == 3 * 13 + 2
        va, deadline = patients_of("va", 2), time.monotonic() + DEADLINE_SECONDS
        while drifting(seen := shown(worker)) != {INPUTS, SCORES}:
            assert time.monotonic() < deadline, told(seen)
            send(stream, va)
    assert '"watches_drift": true' in workers.logs()
