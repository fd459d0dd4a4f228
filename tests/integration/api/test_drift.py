"""Drift metrics of a real gateway, by the records that are sent over HTTP."""

from __future__ import annotations

import itertools
import json
import time

from tests.support.calls import JSON, ask
from tests.support.drift import INPUTS, SCORES, drift_metrics, drifting, patients_of, scrape
from tests.support.workers import Starter

DEADLINE_SECONDS = 60.0


def test_another_hospitals_patients_drift(start: Starter) -> None:
    """Without requests there are no values; some hundred patients of Long Beach meet the conditions of both alerts."""
    with start(DRIFT__WINDOW_RECORDS="300") as gateway:
        assert drift_metrics(scrape(gateway)) == {"window_records": 0}
        va, deadline = patients_of("va", 1), time.monotonic() + DEADLINE_SECONDS
        while drifting(seen := scrape(gateway)) != {INPUTS, SCORES}:
            assert time.monotonic() < deadline, drift_metrics(seen)
            found = ask(gateway, "POST", "/predict/batch", json.dumps([*itertools.islice(va, 200)]).encode(), JSON)
            assert found.status == 200


def test_a_gateway_without_a_drift_window_reports_no_drift(start: Starter) -> None:
    """Switched off, the window stays empty, and neither logs nor metrics mention drift."""
    with start(DRIFT__WINDOW_RECORDS="0") as gateway:
        body = json.dumps([*itertools.islice(patients_of("va", 1), 200)]).encode()
        assert ask(gateway, "POST", "/predict/batch", body, JSON).status == 200
        assert drift_metrics(scrape(gateway)) == {"window_records": 0}
