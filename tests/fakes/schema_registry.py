"""A schema registry that returns the responses of a test."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer

from runtime.settings import SchemaRegistry as RegistrySettings
from worker.schema_registry import SchemaRegistry


class FailingRegistry(HTTPServer):
    """Returns these responses, one per request, and records the requests."""

    def __init__(self, answers: list[tuple[int, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Answering)
        self.answers = answers
        self.asked: list[tuple[str, str | None]] = []
        self.location = ""
        self.before_answer: Callable[[], object] = lambda: None

    @property
    def registry(self) -> SchemaRegistry:
        return SchemaRegistry(RegistrySettings(url=f"http://127.0.0.1:{self.server_port}", username="u", password="p"))


class _Answering(BaseHTTPRequestHandler):
    server: FailingRegistry

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Authorization"]))
        self.server.before_answer()
        status, body = self.server.answers.pop(0)
        self.send_response(status)
        if self.server.location:
            self.send_header("Location", self.server.location)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass
