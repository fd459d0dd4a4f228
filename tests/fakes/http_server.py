"""A real HTTP server on a local port that answers well, badly, slowly or not at all, as a test asks of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

DRIP_SECONDS = 0.02

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers a path with what the server has for it, and notes that it was asked."""

    server: Server

    def do_GET(self) -> None:
        """Answer one request."""
        name = self.path.rpartition("/")[2]
        self.server.asked.append(name)
        self.server.answers.get(name, status(404))(self)

    def log_message(self, *_: object) -> None:
        """Say nothing on standard error."""


class Server(ThreadingHTTPServer):
    """The server: `answers` by file name, `asked` in order; `stopped` ends what would go on for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.stopped = Event()

    @property
    def url(self) -> str:
        """Where its files are."""
        return f"http://127.0.0.1:{self.server_port}/heart-disease/"


@contextmanager
def running_server() -> Iterator[Server]:
    """Serve until the block ends."""
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
    """Answer with `body`, after promising its length or another."""

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body) if promised is None else promised))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def status(code: int) -> Answer:
    """Answer with an error."""
    return lambda handler: handler.send_error(code)


def in_turn(*answers: Answer) -> Answer:
    """Give one answer after the other; the last one for good."""
    left = list(answers)

    def answer(handler: Handler) -> None:
        now = left.pop(0) if len(left) > 1 else left[0]
        now(handler)

    return answer


def redirect(name: str) -> Answer:
    """Send the client to another file of the same folder."""

    def answer(handler: Handler) -> None:
        handler.send_response(301)
        handler.send_header("Location", name)
        handler.end_headers()

    return answer


def dripping(raw: bytes) -> Answer:
    """Send `raw`, header and all, a byte at a time until the client leaves or the server stops."""

    def answer(handler: Handler) -> None:
        for position in range(len(raw)):
            try:
                handler.wfile.write(raw[position : position + 1])
            except OSError:
                return
            if handler.server.stopped.wait(DRIP_SECONDS):
                return

    return answer
