"""The gateway's memory: the shipped pod's limit is enough for any mix of well-formed requests."""

from __future__ import annotations

import http.client
import json
import socket
import sysconfig
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from heartstream.demo.processes import Child
from runtime.ports import free_port
from tests.support.calls import JSON, LINES, PATIENTS, ask, connected, everything
from tests.support.docker_cli import ROOT, attempt, docker, docker_answers, inspect, wait_for
from tests.support.workers import Starter

IMAGE = "python:3.11-slim"
POD_MIB = 320
"""`resources.limits.memory` of the gateway's Deployment."""
ALLOWED = {200, 400, 413, 422, 429, 503}
CALLERS = [f"127.0.0.{number}" for number in range(1, 5)]
CSV = {"Content-Type": "text/csv"}


@pytest.fixture
def pod(model_dir: Path) -> Iterator[tuple[int, str]]:
    """A gateway with default settings in a container of the pod's size: its port and the container's id."""
    if not docker_answers() or attempt("docker", "image", "inspect", IMAGE).returncode:
        pytest.skip(f"no Docker with {IMAGE}")
    port, packages = free_port(), sysconfig.get_paths()["purelib"]
    mounts = (f"--volume={ROOT}:/app:ro", f"--volume={packages}:/packages:ro", f"--volume={model_dir}:/model:ro")
    settings = {"MODEL__PATH": "/model", "GATEWAY__PORT": str(port)}
    limits = (f"--memory={POD_MIB}m", f"--memory-swap={POD_MIB}m", "--network=host", "--env=PYTHONPATH=/app:/packages")
    named = [f"--env=HEARTSTREAM_{name}={value}" for name, value in settings.items()]
    container = docker(
        "run", "--detach", *limits, *mounts, *named, IMAGE, "python", "-m", "heartstream", "gateway"
    ).strip()
    try:
        wait_for("the gateway", lambda: _status(port, CALLERS[0], "/health/ready") == 200, 60)
        yield port, container
    finally:
        docker("rm", "--force", container)


def test_the_shipped_pod_survives_the_worst_mix(pod: tuple[int, str]) -> None:
    """All requests at once from several callers are answered or refused, and nothing is OOM-killed."""
    port, container = pod
    mix = [*_mix()] * 2
    with _unfinished(port, 40), ThreadPoolExecutor(24) as senders:
        calls = [(port, CALLERS[turn % len(CALLERS)], *each) for turn, each in enumerate(mix)]
        found = Counter(senders.map(lambda call: _status(*call), calls))
    state = inspect("container", container)["State"]
    assert (state["OOMKilled"], state["Running"]) == (False, True), found
    assert set(found) - ALLOWED - {0} == set(), found
    assert found[200] > 0
    assert [_status(port, caller, "/predict", PATIENTS[0], JSON) for caller in CALLERS] == [200] * len(CALLERS)
    peak = docker(
        "exec",
        container,
        "sh",
        "-c",
        "cat /sys/fs/cgroup/memory.peak /sys/fs/cgroup/memory/memory.max_usage_in_bytes 2>/dev/null || true",
    )
    print(f"peak {int(peak.split()[0]) / 2**20:.0f} MiB of {POD_MIB}: {dict(found)}")  # noqa: T201  # the figure of the page


def _mix() -> Iterator[tuple[str, bytes, dict[str, str]]]:
    """Yield well-formed requests: path, body and content type."""
    good, bad = PATIENTS[0], b"{}"
    names = list(json.loads(good))
    row = ",".join("1" for _ in names)
    largest = 8_388_000
    yield "/invocations", (",".join(names) + "\n" + f"{row}\n" * 150_000).encode(), CSV
    yield "/invocations", b'{"instances":[' + b",".join([b"{}"] * 1_900_000) + b"]}", JSON
    yield "/invocations", b'{"instances":[' + b",".join([good] * 2_500) + b"]}", JSON
    yield "/invocations", b'{"instances":[' + b",".join([bad] * 2_500) + b"]}", JSON
    for _ in range(8):
        yield "/predict/batch", b"[" + b",".join([good] * (largest // (len(good) + 1))) + b"]", JSON
        yield "/predict/batch", b"[" + b",".join([good + b" " * 2_500] * 2_500) + b"]", JSON
        yield "/predict/batch", b"[" + b",".join([bad] * 2_500) + b"]", JSON
        yield "/predict/batch", b"\n".join([good, bad] * 10_000), LINES
        yield "/predict", b" " * 65_000 + good[:200], JSON
    text = json.dumps(good.decode()).encode()
    yield "/predict/batch", b'["' + "\U0001f600".encode() + b"x" * largest + b'"]', JSON
    tensor = (
        b'{"inputs":[{"name":"record","shape":[2500],"datatype":"BYTES","data":[' + b",".join([text] * 2_500) + b"]}]}"
    )
    yield "/v2/models/{model}/infer", tensor, JSON


def _status(port: int, caller: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> int:
    """Return the status of a response, which is read; 0 if the gateway closed the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120, source_address=(caller, 0))
    try:
        if "{model}" in path:
            connection.request("GET", "/model")
            path = path.format(model=json.load(connection.getresponse())["model"]["name"])
        connection.request("GET" if body is None else "POST", path, body, headers or {})
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
    return response.status


@contextmanager
def _unfinished(port: int, count: int) -> Iterator[None]:
    """Keep uploads open that lack their last bytes."""
    held = []
    for turn in range(count):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(CALLERS[turn % 4], 0))
        held.append(connection)
        try:
            connection.putrequest("POST", "/predict/batch")
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", "8000000")
            connection.endheaders(b"[" + b" " * 7_000_000)
        except OSError:
            continue
    try:
        yield
    finally:
        for connection in held:
            connection.close()


def test_refused_requests_release_their_memory(start: Starter) -> None:
    """Of two bodies that do not fit together one gets 503 before it is complete; afterwards its memory is free again.

    They arrive at the same time, so it may be either.
    """
    body = b"[" + b" " * 900_000 + b"]"
    with start(GATEWAY__IN_FLIGHT_LIMIT_BYTES="2000000") as gateway:
        with connected(gateway) as upload:
            upload.sendall(_head(len(body)) + b"\r\n" + body[:-1])
            whole = ask(gateway, "POST", "/predict/batch", body, JSON).status
            assert {whole, _end(upload, body[-1:])} == {200, 503}
        assert ask(gateway, "POST", "/predict/batch", body, JSON).status == 200


def _end(upload: socket.socket, rest: bytes) -> int:
    """Send the rest of a body; return the response's status, 503 if the gateway had closed the connection."""
    try:
        upload.sendall(rest)
        return int(upload.recv(12)[9:])
    except ConnectionError:
        return 503


def test_a_client_that_does_not_read_its_response_is_disconnected(start: Starter) -> None:
    """An array's response that nobody reads is held until the timeout and no longer."""
    body = b"[" + b",".join([b"{}"] * 4_000) + b"]"
    with (
        start(GATEWAY__BODY_TIMEOUT_SECONDS="1", GATEWAY__BATCH_LIMIT_RECORDS="4000") as gateway,
        connected(gateway) as deaf,
    ):
        # Half a window of 32 KiB: what is left in the gateway's send buffer would take minutes through a smaller one.
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
        deaf.sendall(_head(len(body)) + b"Connection: close\r\n\r\n" + body)
        wait_for("an end", lambda: _answered(gateway), 60)
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        try:
            answer = everything(deaf)
        except ConnectionResetError:
            return
    assert not answer.endswith(b"]")


def _head(length: int) -> bytes:
    lines = (
        "POST /predict/batch HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        "",
    )
    return "\r\n".join(lines).encode()


def _answered(gateway: Child) -> bool:
    metrics = ask(gateway, "GET", "/metrics").body.decode().splitlines()
    return any("/predict/batch" in line and not line.endswith(" 0.0") for line in metrics)
