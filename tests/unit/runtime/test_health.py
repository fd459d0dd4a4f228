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


def test_all_well_is_200(server: TelemetryServer) -> None:
    """A healthy process says so on each path."""
    paths = ("/health", "/health/startup", "/health/live", "/health/ready")
    assert [get(server, path)[0] for path in paths] == [200, 200, 200, 200]


def test_what_has_started_may_fail_to_be_ready(server: TelemetryServer, problems: dict[str, str | None]) -> None:
    """Started is a question of its own: a broker out of reach at start is no reason to start again."""
    problems["ready"] = "no broker"
    assert get(server, "/health/startup") == (200, '{"status": "ok", "checks": {"model": "ok"}}')


def test_what_is_not_live_is_not_ready(server: TelemetryServer, problems: dict[str, str | None]) -> None:
    """Nothing should be sent to a process that has to be started anew."""
    problems["live"] = "frozen"
    assert [get(server, path)[0] for path in ("/health/live", "/health/ready", "/health/startup")] == [503, 503, 200]


def test_not_ready_is_still_live(server: TelemetryServer, problems: dict[str, str | None]) -> None:
    """Restarting does not bring a broker back: live stays 200 while ready is 503, and the reason is told."""
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
    """Nothing else is there."""
    assert get(server, "/debug")[0] == 404
