"""A real HTTP server on a local port that responds correctly, wrongly, slowly or not at all, as a test needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

DRIP_SECONDS = 0.02

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Responds to a path with the server's answer for it, and records the request."""

    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        name = self.path.rpartition("/")[2]
        self.server.asked.append(name)
        self.server.answers.get(name, status(404))(self)

    def log_message(self, *_: object) -> None:
        """Write nothing to standard error."""


class Server(ThreadingHTTPServer):
    """The server: `answers` by file name, `asked` in order; `stopped` ends responses without an end."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.stopped = Event()

    @property
    def url(self) -> str:
        """The base URL of its files."""
        return f"http://127.0.0.1:{self.server_port}/heart-disease/"


@contextmanager
def running_server() -> Iterator[Server]:
    """Serve in the context."""
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.stopped.set()
            server.shutdown()
            thread.join()


def content(body: bytes, promised: int | None = None) -> Answer:
    """Respond with `body`, and its length or another one in Content-Length."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) if promised is None else promised))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def status(code: int) -> Answer:
    """Respond with an error status."""
    return lambda handler: handler.send_error(code)


def in_turn(*answers: Answer) -> Answer:
    """Respond with one answer after the other, and then always with the last."""
    left = list(answers)

    def answer(handler: Handler) -> None:
        now = left.pop(0) if len(left) > 1 else left[0]
        now(handler)

    return answer


def redirect(name: str) -> Answer:
    """Redirect the client to another file of the same folder."""

    def answer(handler: Handler) -> None:
        handler.send_response(301)
        handler.send_header("Location", name)
        handler.end_headers()

    return answer


def dripping(raw: bytes) -> Answer:
    """Send `raw`, including the header, a byte at a time until the client disconnects or the server stops."""

    def answer(handler: Handler) -> None:
        for position in range(len(raw)):
            try:
                handler.wfile.write(raw[position : position + 1])
            except OSError:
                return
            if handler.server.stopped.wait(DRIP_SECONDS):
                return

    return answer
