"""How long the gateway's event loop goes without a turn for others, by route, under bodies made to hold it.

A gateway runs in this process, in a thread of its own whose selector notes the processor time between two looks at the
sockets: what others do to the machine does not count. Each body goes to each route of the router.

example: python -m bench.stalls
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
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
from typing import Any, Final

import msgspec
from aiohttp import web

from api.bootstrap import create_application
from api.graceful_shutdown import GracefulShutdown
from api.main import new_runner
from api.security.auth import Authenticator
from heartstream.demo.patients import real_patients
from runtime.gc_tuning import tune_gc
from runtime.settings import Settings
from training.pipeline import TrainingRequest, train

GOAL_SECONDS: Final = 0.02
_AGAIN: Final = 2
_MANY: Final = 2_500
_LARGEST: Final = 8_388_608
_RECORD: Final = 65_536
_FHIR: Final = 262_144
JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
CSV: Final = "text/csv"
FHIR: Final = "application/fhir+json"


class Body(msgspec.Struct, frozen=True):
    """What is sent: a body and what it is said to be."""

    name: str
    kind: str
    content: bytes
    encoding: str = ""
    chunk_bytes: int = 0


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


def filled(head: bytes, unit: bytes, tail: bytes, size: int, most: int = 10**9) -> bytes:
    """Return as many units, with commas, as fit a size."""
    count = min(most, (size - len(head) - len(tail)) // (len(unit) + 1))
    return head + b",".join([unit] * count) + tail


def bodies() -> Iterator[Body]:
    """Yield what holds an event loop where nothing is done about it, each as large as its route takes it."""
    good = json.dumps(real_patients()[0]).encode()
    bad = json.dumps({name: "" if name == "patient_id" else -777 for name in real_patients()[0]}).encode()
    slow = filled(b'{"a":[', b"{}", b"]}", _RECORD)
    yield from _arrays(good, bad, slow)
    yield from _frames(bad)
    yield from _tensors(good, bad)
    yield from _lines(bad, slow)
    yield from _bundles()


def _arrays(good: bytes, bad: bytes, slow: bytes) -> Iterator[Body]:
    units = {"good records": good, "bad records": bad, "empty objects": b"{}", "zeros": b"0", "slow records": slow}
    for name, unit in units.items():
        for most in (_MANY, 10**9):
            yield Body(f"array of {name}, {most}", JSON, filled(b"[", unit, b"]", _LARGEST, most))
    keys = b",".join(b'"%d":1' % number for number in range(_MANY * 15))
    yield Body("names", JSON, b"[{" + keys + b"}]")
    yield Body("one string", JSON, b'["' + b"\\u0041" * (_LARGEST // 6 - 2) + b'"]')
    yield Body("spaces", JSON, b"[" + b" " * (_LARGEST - 3) + b"0]")
    for size in (1, 100):
        yield Body(f"chunks of {size}", JSON, b"[" * 300_000, chunk_bytes=size)
    yield Body("depth", JSON, b"[" * 900 + b"1" + b"]" * 900)
    yield Body("one slow record", JSON, slow)
    yield Body("brackets", JSON, b"[]" * (_RECORD // 2))


def _frames(bad: bytes) -> Iterator[Body]:
    frame = b'{"instances":['
    for name, unit in {"bad rows": bad, "empty rows": b"{}", "small rows": b'{"a":1}'}.items():
        for most in (_MANY, 10**9):
            yield Body(f"frame of {name}, {most}", JSON, filled(frame, unit, b"]}", _LARGEST, most))
    values = json.loads(bad)
    columns, row = json.dumps(list(values)).encode(), json.dumps(list(values.values())).encode()
    split = b'{"dataframe_split":{"columns":' + columns + b',"data":['
    yield Body("split", JSON, filled(split, row, b"]}}", _LARGEST, _MANY))
    header = ",".join(values).encode() + b"\n"
    yield Body("csv", CSV, header + (b",".join([b"-777"] * len(values)) + b"\n") * _MANY)
    yield Body("csv of line feeds", CSV, b"\r" * _LARGEST)
    yield Body("csv of commas", CSV, (b"," * (_MANY * 15) + b"\n") * 2)
    yield Body("csv of one cell", CSV, header + b'"' + b"\n" * (_MANY * 30) + b'"\n')


def _tensors(good: bytes, bad: bytes) -> Iterator[Body]:
    def tensor(name: str, kind: str, data: bytes, count: int) -> bytes:
        return b'{"name":"%b","shape":[%d],"datatype":"%b","data":[%b]}' % (name.encode(), count, kind.encode(), data)

    def infer(*tensors: bytes, more: bytes = b"") -> bytes:
        return b'{"inputs":[' + b",".join(tensors) + b"]" + more + b"}"

    for depth, unit in {2: b"[[1]]", 900: b"1"}.items():
        data = filled(b"[" * depth, unit, b"]" * depth, 1_000_000, _MANY * 15)
        yield Body(f"tensor, {depth} deep", JSON, infer(tensor("age", "FP64", data, 500_000)))
    fields = [name for name in json.loads(bad) if name != "patient_id"]
    minus = b",".join([b"-777"] * _MANY)
    yield Body("tensors of bad fields", JSON, infer(*(tensor(name, "FP64", minus, _MANY) for name in fields)))
    coding = b',"parameters":{"coding":"' + b"x" * 4_000_000 + b'"}'
    yield Body("a long coding", JSON, infer(tensor("age", "FP64", minus, _MANY), more=coding))
    for name, record in {"good": good, "bad": bad}.items():
        data = b",".join([json.dumps(record.decode()).encode()] * _MANY)
        yield Body(f"tensor of {name} records", JSON, infer(tensor("record", "BYTES", data, _MANY)))
    wanted = b',"outputs":[' + b",".join([b'{"name":"score"}'] * 5_000) + b"]"
    few = b",".join([json.dumps(good.decode()).encode()] * 100)
    yield Body("outputs", JSON, infer(tensor("record", "BYTES", few, 100), more=wanted))


def _lines(bad: bytes, slow: bytes) -> Iterator[Body]:
    yield Body("newlines", LINES, b"\n" * _LARGEST)
    yield Body("newlines, gzip", LINES, gzip.compress(b"\n" * (4 * _LARGEST)), "gzip")
    for name, line in {"bad lines": bad, "empty objects": b"{}", "slow lines": slow}.items():
        yield Body(name, LINES, (line + b"\n") * min(20_000, 2_000_000 // len(line)))
    yield Body("one line", LINES, b"x" * _LARGEST)


def _bundles() -> Iterator[Body]:
    head = b'{"resourceType":"Bundle","type":"collection","entry":['
    coding = {"coding": [{"system": "http://loinc.org", "code": "2093-3"}]}
    quantity = {"value": 200, "system": "http://unitsofmeasure.org", "code": "mg/dL"}
    observation: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": coding}
    entries: Mapping[str, object] = {
        "observations": {"resource": {**observation, "valueQuantity": quantity}},
        "observations without a value": {"resource": observation},
        "patients": {"resource": {"resourceType": "Patient", "id": "x", "birthDate": "1960-01-01", "gender": "male"}},
        "empty entries": {},
    }
    for name, entry in entries.items():
        unit = json.dumps(entry, separators=(",", ":")).encode()
        for most in (1000, 10**9):
            yield Body(f"bundle of {name}, {most}", FHIR, filled(head, unit, b"]}", _FHIR, most))
    code = b'{"resource":{"resourceType":"Observation","code":{"coding":['
    yield Body("codings", FHIR, filled(head + code, b"{}", b"]}}}]}", _FHIR))
    yield Body("9,000 codings", FHIR, filled(head + code, b"{}", b"]}}}]}", _FHIR, 9_000))


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
