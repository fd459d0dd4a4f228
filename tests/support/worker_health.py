"""The health and metrics endpoints of a running worker."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from heartstream.demo.processes import Child
from runtime import metrics
from tests.support.stream import DEADLINE_SECONDS


def checks(worker: Child, path: str) -> tuple[int, dict[str, str]]:
    """Return the status of a probe and the result of each of its checks."""
    try:
        with urllib.request.urlopen(f"{worker.url}{path}", timeout=10) as response:
            return response.status, json.load(response)["checks"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)["checks"]


def metric(worker: Child, name: str, **labels: str) -> float | None:
    """Return the sum of a metric's samples with these labels, None where there is none."""
    with urllib.request.urlopen(f"{worker.url}/metrics", timeout=10) as response:
        samples = metrics.read(response.read().decode())
    values = [s.value for s in samples if s.name == f"heartstream_{name}" and labels.items() <= s.labels.items()]
    return sum(values) if values else None


def wait_until(condition: Callable[[], bool], describe: Callable[[], object]) -> None:
    """Wait until a condition holds; fail with a description if it does not in time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, describe()
        time.sleep(0.1)


def await_health(worker: Child, path: str, status: int) -> dict[str, str]:
    """Wait until the probe returns this status, and return its checks."""
    wait_until(lambda: checks(worker, path)[0] == status, lambda: checks(worker, path))
    return checks(worker, path)[1]
