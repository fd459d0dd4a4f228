"""Health checks of a process, and the port that serves them together with its metrics.

Startup: the process has started, and the other checks are meaningful. Live: a restart would not help. Ready: the
process can do its work. A broker outage makes a worker not ready, but it stays live.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

import msgspec

from runtime import events
from schemas.http import PROBLEM_TYPE, Problem

_REQUEST_TIMEOUT_SECONDS: Final = 5.0


class Health(msgspec.Struct, frozen=True):
    """Named checks; each returns None, or a short description of the problem without any patient data."""

    live: Mapping[str, Callable[[], str | None]]
    ready: Mapping[str, Callable[[], str | None]]
    startup: Mapping[str, Callable[[], str | None]] = {}

    def report(self, *kinds: str) -> tuple[HTTPStatus, bytes]:
        """Run the checks of these kinds ("startup", "live", "ready"); return the HTTP status and a JSON document."""
        checks = {name: check() for kind in kinds for name, check in getattr(self, kind).items()}
        healthy = all(problem is None for problem in checks.values())
        status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        described = {name: problem or "ok" for name, problem in checks.items()}
        return status, json.dumps({"status": "ok" if healthy else "unavailable", "checks": described}).encode()


PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "/health": ("live", "ready"),
    "/health/startup": ("startup",),
    "/health/live": ("live",),
    "/health/ready": ("live", "ready"),
}


class TelemetryServer:
    """Serves `/metrics` and `/health` in a separate thread, so that it responds while the process is busy."""

    def __init__(self, host: str, port: int, health: Health) -> None:
        """Open the port (0 selects a free one); raises OSError if it is in use."""

        class Handler(BaseHTTPRequestHandler):
            timeout = _REQUEST_TIMEOUT_SECONDS
            server_version, sys_version = "heartstream", ""

            def do_GET(self) -> None:  # the name is that of the base class
                self._respond(*_answer(self.path.split("?", 1)[0], health))

            def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
                """Send a problem document for other methods and invalid HTTP; the base class quotes the request."""
                status = HTTPStatus(code)
                slug = status.phrase.lower().replace(" ", "-")
                problem = Problem(f"urn:heartstream:problem:{slug}", status.phrase, status, status.description)
                self.close_connection = True
                self._respond(status, msgspec.json.encode(problem), PROBLEM_TYPE)

            def _respond(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                """Keep probes out of the log."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="telemetry", daemon=True)
        self._thread.start()
        events.ListenerOpened("telemetry", host, self.port).emit()

    @property
    def port(self) -> int:
        """The port in use."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop serving and release the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _answer(path: str, health: Health) -> tuple[HTTPStatus, bytes, str]:
    if path == "/metrics":
        body, content_type = events.render_metrics()
        return HTTPStatus.OK, body, content_type
    if path in PATHS:
        status, body = health.report(*PATHS[path])
        return status, body, "application/json"
    return HTTPStatus.NOT_FOUND, b'{"status":"not found"}', "application/json"
