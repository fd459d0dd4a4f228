"""The conditions of the drift alerts, evaluated on one process's metrics; and endless patients in random order."""

from __future__ import annotations

import random
import re
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from heartstream.demo.patients import Record, real_patients
from heartstream.demo.processes import Child
from runtime.metrics import Sample, read
from tests.support.telemetry import rules

INPUTS, SCORES = "HeartstreamInputDrift", "HeartstreamScoreDrift"
_LIMIT: Final = re.compile(r"(heartstream_drift_\w+)\)* > ([\d.]+)")


def scrape(process: Child) -> list[Sample]:
    """Return the metrics of a process."""
    with urllib.request.urlopen(f"{process.url}/metrics", timeout=10) as response:
        return read(response.read().decode())


def limits() -> dict[str, dict[str, float]]:
    """Return, for each of the two alerts, its metrics and the value above which each fires."""
    asked = {rule["alert"]: rule["expr"] for rule in rules() if rule.get("alert") in {INPUTS, SCORES}}
    return {name: {metric: float(limit) for metric, limit in _LIMIT.findall(expr)} for name, expr in asked.items()}


def drifting(samples: Iterable[Sample]) -> set[str]:
    """Return the alerts whose condition holds."""
    values = [(sample.name, abs(sample.value)) for sample in samples]
    return {
        name
        for name, asked in limits().items()
        if any(value > asked.get(metric, float("inf")) for metric, value in values)
    }


def drift_metrics(samples: Iterable[Sample]) -> Mapping[str, float]:
    """Return the drift metrics, as `metric` or `metric/label`."""
    drift = [sample for sample in samples if sample.name.startswith("heartstream_drift_")]
    names = ["/".join((sample.name.removeprefix("heartstream_drift_"), *sample.labels.values())) for sample in drift]
    return dict(zip(names, (sample.value for sample in drift), strict=True))


def patients_of(site: str, seed: int) -> Iterator[Record]:
    """Yield one hospital's patients endlessly, in a new order in each pass."""
    rng = random.Random(seed)  # noqa: S311  # for variety, not for secrets
    patients = [patient for patient in real_patients() if str(patient["patient_id"]).startswith(f"{site}-")]
    assert patients
    while True:
        rng.shuffle(patients)
        yield from patients
