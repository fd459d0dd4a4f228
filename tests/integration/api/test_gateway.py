"""Laws of the HTTP door, on a real gateway process."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from heartstream.demo.patients import FLAWS, real_patients
from heartstream.demo.processes import Child, running
from runtime.embedded import free_port
from scoring.pipeline import Rejected, Scored, process
from scoring.scorer import Scorer
from tests.examples import accepted, rejected

RECORD = json.dumps(real_patients()[0]).encode()


@pytest.fixture(scope="module")
def gateway(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    port = free_port()
    settings = {
        "HEARTSTREAM_MODEL__PATH": str(model_dir),
        "HEARTSTREAM_GATEWAY__PORT": str(port),
        "HEARTSTREAM_GATEWAY__BODY_TIMEOUT_SECONDS": "1",
    }
    log = tmp_path_factory.mktemp("gateway") / "gateway.log"
    with running("gateway", settings, f"http://127.0.0.1:{port}", log) as child:
        child.await_ready()
        yield child
    assert child.process.returncode == 0


def ask(gateway: Child, method: str, path: str, body: bytes | None = None) -> tuple[int, str, bytes]:
    """Return status, content type and body of one request."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, path, body=body)
        response = connection.getresponse()
        return response.status, str(response.headers.get_content_type()), response.read()
    finally:
        connection.close()


def test_a_prediction_is_the_score_object(gateway: Child, scorer: Scorer) -> None:
    """The same bytes as the core gives, for every real patient."""
    for record in real_patients()[::40]:
        value = json.dumps(record).encode()
        (expected,) = process([value], [None], scorer)
        assert isinstance(expected, Scored)
        assert ask(gateway, "POST", "/predict", value) == (200, "application/json", expected.value)


def test_a_bad_record_is_told_all_that_is_wrong(gateway: Child, scorer: Scorer) -> None:
    """Each kind of bad record is a problem document (RFC 9457) with every fault."""
    for flaw in FLAWS.values():
        value = flaw(real_patients()[0]) or b""
        (expected,) = process([value], [None], scorer)
        assert isinstance(expected, Rejected)
        status, content_type, body = ask(gateway, "POST", "/predict", value)
        problem = json.loads(body)
        assert (status, content_type) == (422, "application/problem+json")
        assert problem["errors"] == [
            {"code": fault.code, "pointer": fault.pointer, "message": fault.message} for fault in expected.faults
        ]


def test_every_example_of_the_contract_has_its_outcome(gateway: Child, scorer: Scorer) -> None:
    """Each accepted and rejected example gives over HTTP exactly what scoring gives."""
    for value in [value for _, value in accepted()] + [value for _, value, _ in rejected()]:
        (expected,) = process([value], [None], scorer)
        status, _, body = ask(gateway, "POST", "/predict", value)
        if isinstance(expected, Scored):
            assert (status, body) == (200, expected.value)
        else:
            pairs = [(error["code"], error["pointer"]) for error in json.loads(body)["errors"]]
            assert (status, pairs) == (422, [(fault.code, fault.pointer) for fault in expected.faults])


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/predict", None, 405),
        ("GET", "/no/such/path", None, 404),
        ("POST", "/predict", b"x" * 200_000, 413),
    ],
)
def test_other_errors_are_problem_documents(
    gateway: Child, method: str, path: str, body: bytes | None, status: int
) -> None:
    """Whatever goes wrong is told in the same form."""
    answered, content_type, document = ask(gateway, method, path, body)
    assert (answered, content_type, json.loads(document)["status"]) == (status, "application/problem+json", status)


def test_a_body_that_stops_halfway_is_cut_off(gateway: Child) -> None:
    """A half-sent body is answered with 408 and the connection is closed, instead of being held for ever."""
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_what_is_not_http_is_not_quoted(gateway: Child) -> None:
    """A record that stands where a request should (a wrong Content-Length) does not come back in the answer."""
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        body = b'{}{"age": 63, "name": "Zebra-4711"}\r\n\r\n'
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n" + body)
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
    assert (b" 400 " in answer, b"Zebra" in answer) == (True, False)
    assert "Zebra" not in gateway.log.read_text(encoding="utf-8")


def test_a_body_that_is_not_what_it_says_is_the_callers_fault(gateway: Child) -> None:
    """Garbage that calls itself gzip is a 400, not a 500."""
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=30)
    connection.request("POST", "/predict", body=b"not gzip", headers={"Content-Encoding": "gzip"})
    response = connection.getresponse()
    assert (response.status, response.headers.get_content_type()) == (400, "application/problem+json")
    connection.close()


def test_health_and_metrics_are_served(gateway: Child) -> None:
    """A ready gateway says so, and counts its requests."""
    ask(gateway, "POST", "/predict", RECORD)
    status, _, body = ask(gateway, "GET", "/health")
    metrics = ask(gateway, "GET", "/metrics")[2].decode()
    assert (status, json.loads(body)["status"]) == (200, "ok")
    assert 'heartstream_http_requests_total{route="/predict",status="200"}' in metrics
    assert 'heartstream_records_total{door="http",outcome="scored"}' in metrics


def test_no_patient_is_in_errors_logs_or_metrics(gateway: Child) -> None:
    """A marker in any place of a bad request comes back nowhere."""
    marker = "Zebra-4711"
    good = {**real_patients()[0], "patient_id": marker}
    bodies = [json.dumps({**good, **change}).encode() for change in ({"age": marker}, {marker: 1}, {"sex": 7})]
    bodies.append(marker.encode())
    answers = [ask(gateway, "POST", f"/predict?patient={marker}", body)[2] for body in bodies]
    answers.append(ask(gateway, "GET", f"/{marker}")[2])
    answers.append(ask(gateway, "GET", "/metrics")[2])
    assert marker not in b"".join(answers).decode() + gateway.log.read_text(encoding="utf-8")
