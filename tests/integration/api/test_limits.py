"""Overload and abuse are bounded, reported, and never affect other callers."""

from __future__ import annotations

import http.client
import json
import resource
import signal
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

from heartstream.demo.processes import Child
from tests.support.calls import JSON, LINES, PATIENTS, Answer, ask, connected, everything
from tests.support.workers import Starter

_ATTEMPTS = 128
"""asyncio's in each second without a file descriptor, each of them with a line."""
HALF = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{"


def test_too_many_requests_at_once_are_refused(start: Starter) -> None:
    """503 with Retry-After while health and metrics are still served; later requests are accepted."""
    with start(GATEWAY__CONCURRENT_REQUESTS="2", GATEWAY__BODY_TIMEOUT_SECONDS="3") as gateway:
        with connected(gateway) as one, connected(gateway) as other:
            one.sendall(HALF)
            other.sendall(HALF)
            refused = _until_refused(gateway)
            assert (refused.status, refused.kind, int(refused.headers["Retry-After"]) > 0) == (
                503,
                "application/problem+json",
                True,
            )
            assert [ask(gateway, "GET", path).status for path in ("/health/live", "/metrics")] == [200, 200]
            assert everything(one).startswith(b"HTTP/1.1 408 ")
        assert ask(gateway, "POST", "/predict", PATIENTS[0]).status == 200


def _until_refused(gateway: Child) -> Answer:
    """Send requests until the two incomplete ones have arrived."""
    deadline = time.monotonic() + 2.5
    while time.monotonic() < deadline:
        found = ask(gateway, "POST", "/predict", PATIENTS[0])
        if found.status != 200:
            return found
    raise AssertionError("never refused")


def test_a_caller_over_its_rate_gets_retry_after(start: Starter) -> None:
    """429 with Retry-After; 413 beyond the burst; a stream is slowed down instead."""
    with start(GATEWAY__RECORDS_PER_SECOND="10", GATEWAY__BURST_RECORDS="10") as gateway:
        array = ask(gateway, "POST", "/predict/batch", b"[" + b",".join(PATIENTS[:11]) + b"]", JSON)
        assert (array.status, "10 records" in array.json["detail"]) == (413, True)
        found = [ask(gateway, "POST", "/predict", PATIENTS[0]) for _ in range(40)]
        refused = [each for each in found if each.status == 429]
        assert {each.status for each in found} == {200, 429}
        assert all(int(each.headers["Retry-After"]) >= 1 for each in refused)
        began = time.monotonic()
        lines = ask(gateway, "POST", "/predict/batch", b"\n".join(PATIENTS[:60]), LINES)
        assert (lines.body.count(b"\n"), time.monotonic() - began > 0.9) == (60, True)


def test_an_array_beyond_its_limit_is_refused(start: Starter) -> None:
    """It is refused before it is read to the end; a stream of lines of the same size is not."""
    with start(GATEWAY__BATCH_LIMIT_BYTES="10000") as gateway:
        array = ask(gateway, "POST", "/predict/batch", b"[" + b",".join(PATIENTS[:100]) + b"]", JSON)
        lines = ask(gateway, "POST", "/predict/batch", b"\n".join(PATIENTS[:100]), LINES)
        assert (array.status, array.json["title"], lines.body.count(b"\n")) == (413, "Request Entity Too Large", 100)


def test_headers_that_never_end_are_cut_off(start: Starter) -> None:
    """An incomplete header does not hold a connection forever."""
    with (
        start(GATEWAY__BODY_TIMEOUT_SECONDS="1", GATEWAY__KEEP_ALIVE_SECONDS="1") as gateway,
        connected(gateway) as slow,
    ):
        slow.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Header: ")
        slow.settimeout(20)
        assert b"200" not in everything(slow)


def test_a_client_that_does_not_read_is_disconnected(start: Starter) -> None:
    """A stream whose responses are not read is closed; meanwhile others are answered."""
    with start(GATEWAY__BODY_TIMEOUT_SECONDS="1") as gateway, connected(gateway) as deaf:
        deaf.settimeout(30)
        head = "POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
        deaf.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        block = b"\n".join(PATIENTS[:500]) + b"\n"
        chunk = b"%x\r\n%b\r\n" % (len(block), block)
        broken = False
        for _ in range(2_000):
            try:
                deaf.sendall(chunk)
            except OSError:
                broken = True
                break
        assert (broken, ask(gateway, "POST", "/predict", PATIENTS[0]).status) == (True, 200)


def test_a_graceful_shutdown_fails_no_request(start: Starter) -> None:
    """On SIGTERM under load, callers that stop once `/health/ready` fails have every request answered."""
    with start(GATEWAY__SHUTDOWN_DELAY_SECONDS="2") as gateway, ThreadPoolExecutor(9) as callers:
        gone, answered = threading.Event(), []
        calls = [callers.submit(_call_until, gateway, gone, answered) for _ in range(8)]
        while len(answered) < 200:
            assert not any(call.done() for call in calls)
        gateway.process.send_signal(signal.SIGTERM)
        while ask(gateway, "GET", "/health/ready").status == 200:
            pass
        after = len(answered)
        while len(answered) < after + 200:
            assert not any(call.done() for call in calls)
        gone.set()
        assert [call.result() for call in calls] == [None] * 8
        assert (gateway.process.wait(30), set(answered)) == (0, {200})


def _call_until(gateway: Child, gone: threading.Event, answered: list[int]) -> None:
    """Keep one connection busy, and reconnect if the gateway closes it; any error fails."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=10)
    while not gone.is_set():
        connection.request("POST", "/predict", body=PATIENTS[0])
        response = connection.getresponse()
        assert "risk" in json.loads(response.read())
        answered.append(response.status)


HEAD = b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
STREAM = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def chunk(lines: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(lines), lines)


def test_streams_of_one_caller_do_not_starve_others(start: Starter) -> None:
    """Beyond its limit a caller gets 429, and single records are still answered."""
    with start(GATEWAY__CONCURRENT_REQUESTS="8", GATEWAY__STREAMS_PER_CALLER="2") as gateway, ExitStack() as stack:
        streams = [stack.enter_context(connected(gateway)) for _ in range(8)]
        for stream in streams:
            stream.sendall(STREAM + chunk(PATIENTS[0] + b"\n"))
        found = sorted(stream.recv(12) for stream in streams)
        assert found == [b"HTTP/1.1 200"] * 2 + [b"HTTP/1.1 429"] * 6
        assert ask(gateway, "POST", "/predict", PATIENTS[0]).status == 200


def test_an_empty_stream_ends(start: Starter) -> None:
    """Line feeds alone do not keep a stream open, however short the pauses between them."""
    with start(GATEWAY__BODY_TIMEOUT_SECONDS="0.5") as gateway, connected(gateway) as stream:
        stream.sendall(STREAM)
        assert _sent_until_answered(stream, b"\n").startswith(b"HTTP/1.1 408")


def test_a_stream_has_an_end(start: Starter) -> None:
    """A stream is closed at its time limit, even if records keep coming."""
    with start(GATEWAY__STREAM_MAX_SECONDS="2") as gateway, connected(gateway) as stream:
        stream.sendall(STREAM)
        answer = b""
        with suppress(OSError):
            while more := _sent_until_answered(stream, PATIENTS[0] + b"\n"):
                answer += more
        assert answer.startswith(b"HTTP/1.1 200")
        assert not answer.endswith(b"0\r\n\r\n")


def _sent_until_answered(stream: socket.socket, line: bytes) -> bytes:
    """Send a line every 0.2 s until something is received, at most for a minute; return it."""
    stream.settimeout(0.2)
    for _ in range(300):
        stream.sendall(chunk(line))
        with suppress(TimeoutError):
            return stream.recv(65_536)
    raise AssertionError("never answered")


def test_arriving_bodies_are_read_to_the_end(start: Starter) -> None:
    """On SIGTERM within a record, an array and a stream the rest is read, and each is answered."""
    array = b"[" + b",".join(PATIENTS[:40]) + b"]"
    with start(GATEWAY__DRAIN_SECONDS="30", GATEWAY__BODY_TIMEOUT_SECONDS="30") as gateway, ExitStack() as stack:
        one, many, lines = (stack.enter_context(connected(gateway)) for _ in range(3))
        one.sendall(_head("/predict", len(PATIENTS[0])) + PATIENTS[0][:50])
        many.sendall(_head("/predict/batch", len(array)) + array[:5_000])
        lines.sendall(STREAM + chunk(b"\n".join(PATIENTS[:20]) + b"\n"))
        assert lines.recv(12) == b"HTTP/1.1 200"
        gateway.process.send_signal(signal.SIGTERM)
        with suppress(OSError):
            while ask(gateway, "GET", "/health/live").status:
                pass
        one.sendall(PATIENTS[0][50:])
        many.sendall(array[5_000:])
        lines.sendall(chunk(b"\n".join(PATIENTS[20:40]) + b"\n") + b"0\r\n\r\n")
        assert everything(one).startswith(b"HTTP/1.1 200")
        assert everything(many).count(b'"risk"') == 40
        found = everything(lines)
        assert (found.count(b'"risk"'), found.endswith(b"0\r\n\r\n")) == (40, True)


def _head(path: str, length: int) -> bytes:
    kind = "Content-Type: application/json"
    return f"POST {path} HTTP/1.1\r\nHost: x\r\n{kind}\r\nContent-Length: {length}\r\n\r\n".encode()


def test_sighup_does_not_stop_the_gateway(start: Starter) -> None:
    """Tools send SIGHUP after rotating a file."""
    with start() as gateway:
        for _ in range(3):
            gateway.process.send_signal(signal.SIGHUP)
            assert ask(gateway, "POST", "/predict", PATIENTS[0]).status == 200


class Balancer:
    """Knows which gateways are ready, as a load balancer does from their probes."""

    def __init__(self) -> None:
        self.ready: list[Child] = []

    def look(self, gateways: Sequence[Child]) -> None:
        """Probe every gateway."""
        self.ready = [gateway for gateway in gateways if self._is_ready(gateway)]

    def _is_ready(self, gateway: Child) -> bool:
        try:
            return ask(gateway, "GET", "/health/ready").status == 200
        except (OSError, http.client.HTTPException):
            return False


def test_a_rolling_restart_fails_no_request(start: Starter) -> None:
    """Two gateways are replaced one after the other under load: every request to a ready one is answered."""
    settings = {"GATEWAY__SHUTDOWN_DELAY_SECONDS": "2"}
    with ExitStack() as stack, ThreadPoolExecutor(5) as callers:
        running = [stack.enter_context(start(**settings)) for _ in range(2)]
        balancer, gone, answered = Balancer(), threading.Event(), []
        balancer.look(running)
        calls = [callers.submit(_call_ready, balancer, gone, answered) for _ in range(4)]
        for old in list(running):
            running.append(stack.enter_context(start(**settings)))
            balancer.look(running)
            old.process.send_signal(signal.SIGTERM)
            while old.process.poll() is None:
                balancer.look(running)
            running.remove(old)
        after = len(answered)
        while len(answered) < after + 100:
            assert not any(call.done() for call in calls)
        gone.set()
        assert [call.result() for call in calls] == [None] * 4
        assert set(answered) == {200}


def _call_ready(balancer: Balancer, gone: threading.Event, answered: list[int]) -> None:
    """Send each request to a ready gateway; any error fails."""
    for turn in count():
        if gone.is_set():
            return
        ready = balancer.ready
        answered.append(ask(ready[turn % len(ready)], "POST", "/predict", PATIENTS[0]).status)


def test_a_gateway_without_file_descriptors_does_not_flood_the_log(start: Starter) -> None:
    """The event loop fails to accept 128 times a second: it logs at most every ten seconds, and recovers."""
    with start() as gateway, ExitStack() as opened:
        used = len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir()))
        resource.prlimit(gateway.process.pid, resource.RLIMIT_NOFILE, (used + 4, used + 4))
        for _ in range(8):
            opened.enter_context(connected(gateway))
        while "out of system resource" not in gateway.log.read_text(encoding="utf-8"):
            gateway.check()
        opened.close()
        assert ask(gateway, "POST", "/predict", PATIENTS[0]).status == 200
        assert gateway.log.read_text(encoding="utf-8").count("out of system resource") < _ATTEMPTS
