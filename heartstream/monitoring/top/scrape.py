"""Scrapes health and metrics of workers."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Final

import msgspec

from runtime.metrics import Sample, read

_ANSWER_SECONDS: Final = 2.0
NO_ANSWER: Final = "no answer"


class Scrape(msgspec.Struct, frozen=True):
    """One scrape of a worker; without samples if it did not answer. `at` is monotonic, in seconds."""

    url: str
    at: float
    state: str
    samples: tuple[Sample, ...] = ()

    @property
    def answered(self) -> bool:
        """Whether the worker answered."""
        return self.state != NO_ANSWER


def scrape_all(urls: Sequence[str]) -> tuple[Scrape, ...]:
    """Scrape all workers concurrently; a worker that hangs delays the result by two seconds at most."""
    with ThreadPoolExecutor(max_workers=len(urls)) as pool:
        return tuple(pool.map(_scrape, urls))


def _scrape(url: str) -> Scrape:
    try:
        _, text = _get(f"{url}/metrics")
        samples, state = tuple(read(text)), _state(url)
    except (OSError, http.client.HTTPException, ValueError):
        return Scrape(url, time.monotonic(), NO_ANSWER)
    return Scrape(url, time.monotonic(), state, samples)


def _state(url: str) -> str:
    """Return "ready", or why the worker is not."""
    status, problems = _problems(f"{url}/health")
    if status == HTTPStatus.OK:
        return "ready"
    live, reasons = _problems(f"{url}/health/live")
    if live == HTTPStatus.SERVICE_UNAVAILABLE:
        return f"not live: {'; '.join(reasons)}"
    return f"not ready: {'; '.join(problems)}"


def _problems(url: str) -> tuple[int, list[str]]:
    status, text = _get(url)
    if status not in {HTTPStatus.OK, HTTPStatus.SERVICE_UNAVAILABLE}:
        return status, []
    checks: dict[str, str] = json.loads(text).get("checks", {})
    return status, [f"{name}: {problem}" for name, problem in checks.items() if problem != "ok"]


def _get(url: str) -> tuple[int, str]:
    """Return status and body, whatever the status. Raises OSError or HTTPException if there is no answer."""
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as response:  # noqa: S310  # the command lets http(s) in only
            return int(response.status), response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
