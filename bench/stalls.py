"""How long the gateway's event loop goes without a turn for others, by route, under bodies made to hold it.

A gateway runs in this process, in a thread of its own whose selector notes the processor time between two looks at the
sockets: what others do to the machine does not count. Each body goes to each route of the router.

example: python -m bench.stalls
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import selectors
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from api.bootstrap import create_application
from api.graceful_shutdown import GracefulShutdown
from api.main import new_runner
from api.security.auth import Authenticator
from bench.stall_bodies import LINES, Body, bodies
from runtime.gc_tuning import tune_gc
from runtime.settings import Settings
from training.pipeline import TrainingRequest, train

GOAL_SECONDS: Final = 0.02
_AGAIN: Final = 2


class Rounds(selectors.DefaultSelector):
    """Notes the longest stretch of processor time (s) between two looks at the sockets."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        self._began = time.thread_time()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Look at the sockets."""
        self.longest = max(self.longest, time.thread_time() - self._began)
        ready = super().select(timeout)
        self._began = time.thread_time()
        return ready

    def read(self) -> float:
        """Return the longest stretch since the last call."""
        longest, self.longest = self.longest, 0.0
        return longest


class Gateway(msgspec.Struct, frozen=True):
    """A gateway in a thread: its port, its rounds, the routes of its router as (method, path), and what they name."""

    port: int
    rounds: Rounds
    routes: tuple[tuple[str, str], ...]
    names: dict[str, str]


@contextmanager
def gateway(settings: Settings) -> Iterator[Gateway]:
    """Run a gateway in a thread of this process while the context lasts."""
    rounds = Rounds()
    loop = asyncio.SelectorEventLoop(rounds)
    application, _ = create_application(settings, Authenticator([]), GracefulShutdown())
    runner = new_runner(application, settings.gateway)

    async def start() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    port = loop.run_until_complete(start())
    tune_gc()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield Gateway(port, rounds, tuple(_routes(application)), _names(port))
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _names(port: int) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/model")
    served: dict[str, str] = json.load(connection.getresponse())["model"]
    connection.close()
    return {"model": served["name"], "version": served["version"]}


def _routes(application: web.Application) -> Iterator[tuple[str, str]]:
    """Yield what the router knows, with parameters as they are."""
    for route in application.router.routes():
        if route.resource is not None and route.method != "HEAD":
            yield route.method, route.resource.canonical


def send(port: int, method: str, path: str, body: Body) -> int | None:
    """Send a body and read the answer; returns its status, None where the gateway hung up."""
    headers = {"Content-Type": body.kind} | ({"Content-Encoding": body.encoding} if body.encoding else {})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    status = None
    with suppress(OSError, http.client.HTTPException):
        connection.connect()
        with suppress(OSError):
            # A gateway that has seen enough answers before all is sent.
            _request(connection, method, path, body, headers)
        response = http.client.HTTPResponse(connection.sock, method=method)
        response.begin()
        status = response.status
        response.read()
    connection.close()
    return status


def _request(
    connection: http.client.HTTPConnection, method: str, path: str, body: Body, headers: Mapping[str, str]
) -> None:
    if not (size := body.chunk_bytes):
        connection.request(method, path, body.content, headers)
        return
    connection.putrequest(method, path)
    for header in {**headers, "Transfer-Encoding": "chunked"}.items():
        connection.putheader(*header)
    parts = (body.content[start : start + size] for start in range(0, len(body.content), size))
    connection.endheaders(b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n")


def measure(running: Gateway) -> dict[str, tuple[float, str]]:
    """Send each body to each route; returns the longest stretch (s) of each, and the body that it was."""
    every, found = list(bodies()), {}
    for method, pattern in running.routes:
        path = pattern.format_map(running.names) if "{" in pattern else pattern
        send(running.port, method, path, every[0])
        sent = every if method == "POST" else [body for body in every if body.chunk_bytes or body.kind == LINES]
        found[f"{method} {pattern}"] = max((stall(running, method, path, body), body.name) for body in sent)
    return found


def stall(running: Gateway, method: str, path: str, body: Body) -> float:
    """Return the longest stretch (s) while a body is sent and answered: the least of some, if the first is doubtful."""
    seconds = _once(running, method, path, body)
    for _ in range(_AGAIN if seconds > GOAL_SECONDS / 2 else 0):
        seconds = min(seconds, _once(running, method, path, body))
    return seconds


def _once(running: Gateway, method: str, path: str, body: Body) -> float:
    running.rounds.read()
    send(running.port, method, path, body)
    return running.rounds.read()


def lines(found: Mapping[str, tuple[float, str]]) -> Iterator[str]:
    """Yield the table, the longest first."""
    yield "| route | longest stall, ms | by |"
    yield "|---|---|---|"
    for route, (seconds, name) in sorted(found.items(), key=lambda item: -item[1][0]):
        yield f"| `{route}` | {seconds * 1000:.1f} | {name} |"


def main() -> None:
    """Measure, and print the table."""
    purpose, _, example = (__doc__ or "").rpartition("\n\n")
    argparse.ArgumentParser(
        prog="python -m bench.stalls",
        description=purpose,
        epilog=example,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    with tempfile.TemporaryDirectory(prefix="heartstream-bench-") as scratch:
        folder = Path(scratch) / "model"
        train(TrainingRequest(output=folder, model_version="bench", quick=True))
        settings = Settings.from_mapping({"HEARTSTREAM_MODEL__PATH": str(folder)})
        with gateway(settings) as running:
            found = measure(running)
    sys.stdout.write("\n".join(lines(found)) + "\n")


if __name__ == "__main__":
    main()
