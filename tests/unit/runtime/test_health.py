"""Laws of the telemetry port."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from runtime.health import Health, TelemetryServer


@pytest.fixture
def problems() -> dict[str, str | None]:
    return {"live": None, "ready": None, "startup": None}


@pytest.fixture
def server(problems: dict[str, str | None]) -> Iterator[TelemetryServer]:
    health = Health(
        live={"alive": lambda: problems["live"]},
        ready={"group": lambda: problems["ready"]},
        startup={"model": lambda: problems["startup"]},
    )
    server = TelemetryServer("127.0.0.1", 0, health)
    yield server
    server.close()


def get(server: TelemetryServer, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_healthy_process_answers_200(server: TelemetryServer) -> None:
    """A healthy process answers 200 on each health path."""
    paths = ("/health", "/health/startup", "/health/live", "/health/ready")
    assert [get(server, path)[0] for path in paths] == [200, 200, 200, 200]


def test_a_started_process_may_not_be_ready(server: TelemetryServer, problems: dict[str, str | None]) -> None:
    """Startup does not depend on readiness: an unreachable broker at start does not restart the process."""
    problems["ready"] = "no broker"
    assert get(server, "/health/startup") == (200, '{"status": "ok", "checks": {"model": "ok"}}')


def test_a_process_that_is_not_live_is_not_ready(server: TelemetryServer, problems: dict[str, str | None]) -> None:
    """A process that must be restarted gets no requests."""
    problems["live"] = "frozen"
    assert [get(server, path)[0] for path in ("/health/live", "/health/ready", "/health/startup")] == [503, 503, 200]


def test_a_process_that_is_not_ready_is_still_live(server: TelemetryServer, problems: dict[str, str | None]) -> None:
    """A restart does not bring a broker back: live stays 200 while ready is 503 with the reason."""
    problems["ready"] = "no broker"
    status, body = get(server, "/health/ready")
    assert (get(server, "/health/live")[0], status) == (200, 503)
    assert json.loads(body)["checks"] == {"alive": "ok", "group": "no broker"}


def test_metrics_are_served(server: TelemetryServer) -> None:
    """The same port serves Prometheus metrics."""
    status, body = get(server, "/metrics")
    assert status == 200
    assert "# TYPE heartstream_records_total counter" in body


def test_other_paths_are_404(server: TelemetryServer) -> None:
    """Any other path is answered with 404."""
    assert get(server, "/debug")[0] == 404
