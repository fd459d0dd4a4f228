"""The HTTP interface, on a real gateway process."""

from __future__ import annotations

import json

import pytest

from heartstream.demo.patients import FLAWS, real_patients
from heartstream.demo.processes import Child
from scoring.scorer import Scorer
from tests.support.calls import JSON, LINES, PATIENTS, ask, connected, everything
from tests.support.examples import accepted, rejected
from tests.support.outcomes import Rejected, Scored, process

RECORD = PATIENTS[0]


def test_a_prediction_is_the_score_object(gateway: Child, scorer: Scorer) -> None:
    """The response has the bytes of scoring, for real patients."""
    for record in real_patients()[::40]:
        value = json.dumps(record).encode()
        (expected,) = process([value], [None], scorer)
        assert isinstance(expected, Scored)
        found = ask(gateway, "POST", "/predict", value)
        assert (found.status, found.kind, found.body) == (200, "application/json", expected.value)


def test_every_issue_of_a_record_is_reported(gateway: Child, scorer: Scorer) -> None:
    """Each kind of invalid record gives a problem document (RFC 9457) with every issue."""
    for flaw in FLAWS.values():
        value = flaw(real_patients()[0]) or b""
        (expected,) = process([value], [None], scorer)
        assert isinstance(expected, Rejected)
        found = ask(gateway, "POST", "/predict", value)
        assert (found.status, found.kind) == (422, "application/problem+json")
        assert found.json["errors"] == [
            {"code": issue.code, "pointer": issue.pointer, "message": issue.message} for issue in expected.issues
        ]


def test_every_example_of_the_contract_has_its_outcome(gateway: Child, scorer: Scorer) -> None:
    """Each accepted and rejected example has the same outcome over HTTP as in scoring."""
    for value in [value for _, value in accepted()] + [value for _, value, _ in rejected()]:
        (expected,) = process([value], [None], scorer)
        found = ask(gateway, "POST", "/predict", value)
        if isinstance(expected, Scored):
            assert (found.status, found.body) == (200, expected.value)
        else:
            pairs = [(error["code"], error["pointer"]) for error in found.json["errors"]]
            assert (found.status, pairs) == (422, [(issue.code, issue.pointer) for issue in expected.issues])


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
    """Every error has the same form."""
    found = ask(gateway, method, path, body)
    assert (found.status, found.kind, found.json["status"]) == (status, "application/problem+json", status)


def test_a_body_that_stops_halfway_is_cut_off(gateway: Child) -> None:
    """An incomplete body gets 408 and a closed connection instead of being held forever."""
    with connected(gateway) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{")
        answer = everything(connection)
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_malformed_http_is_not_quoted(gateway: Child) -> None:
    """A record in place of a request line (wrong Content-Length) is not repeated in the response."""
    with connected(gateway) as connection:
        body = b'{}{"age": 63, "name": "Zebra-4711"}\r\n\r\n'
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n" + body)
        answer = everything(connection)
    assert (b" 400 " in answer, b"Zebra" in answer) == (True, False)
    assert "Zebra" not in gateway.log.read_text(encoding="utf-8")


def test_a_body_that_is_not_what_it_says_is_a_client_error(gateway: Child) -> None:
    """Invalid gzip is a 400, not a 500."""
    found = ask(gateway, "POST", "/predict", b"not gzip", {"Content-Encoding": "gzip"})
    assert (found.status, found.kind) == (400, "application/problem+json")


def test_no_response_discloses_a_version(gateway: Child) -> None:
    """Neither scores, pages, errors and streams, nor responses to non-HTTP."""
    answers = [
        ask(gateway, "POST", "/predict", RECORD),
        ask(gateway, "POST", "/predict", b"{}"),
        ask(gateway, "POST", "/predict/batch", RECORD, LINES),
        *(ask(gateway, "GET", path) for path in ("/", "/docs", "/health", "/metrics", "/no/such/path", "/predict")),
    ]
    assert {each.headers["Server"] for each in answers} == {"heartstream"}
    with connected(gateway) as connection:
        connection.sendall(b"no HTTP\r\n\r\n")
        raw = everything(connection)
    assert (b"Server: heartstream\r\n" in raw, b"aiohttp" in raw) == (True, False)


def test_health_and_metrics_are_served(gateway: Child) -> None:
    """A ready gateway reports it and counts its requests."""
    ask(gateway, "POST", "/predict", RECORD)
    health = ask(gateway, "GET", "/health")
    metrics = ask(gateway, "GET", "/metrics").body.decode()
    assert (health.status, health.json["status"]) == (200, "ok")
    assert 'heartstream_http_requests_total{route="/predict",status="200"}' in metrics
    assert 'heartstream_records_total{interface="http",outcome="scored"}' in metrics


def test_no_patient_is_in_errors_logs_or_metrics(gateway: Child) -> None:
    """A marker anywhere in an invalid request, on any interface, appears nowhere."""
    marker = "Zebra-4711"
    good = {**real_patients()[0], "patient_id": marker}
    bad = [{**good, **change} for change in ({"age": marker}, {marker: 1}, {"sex": 7}, {"coding": marker})]
    bodies = [*(json.dumps(each).encode() for each in bad), marker.encode()]
    name = ask(gateway, "GET", "/model").json["model"]["name"]
    tensor = {"name": marker, "shape": [1], "datatype": "BYTES", "data": [marker]}
    record = {**tensor, "name": "record", "data": [bodies[1].decode()]}
    frame = {"dataframe_split": {"columns": [marker, "age"], "data": [[1, marker]]}}
    asked = [
        *(("POST", f"/predict?patient={marker}", body, JSON) for body in bodies),
        *(("POST", "/predict/batch", b"[" + b",".join(bodies[:4]) + b"]", kind) for kind in (JSON, LINES)),
        ("POST", "/predict/batch", b"\n".join(bodies), LINES),
        ("POST", "/predict/batch", marker.encode(), JSON),
        *(("POST", f"/v2/models/{name}/infer", json.dumps({"inputs": [i]}).encode(), JSON) for i in (tensor, record)),
        ("POST", f"/v2/models/{marker}/infer", b"{}", JSON),
        ("POST", "/invocations", json.dumps(frame).encode(), JSON),
        ("POST", "/invocations", json.dumps({"instances": bad}).encode(), JSON),
        ("POST", "/invocations", f"age,{marker}\n{marker},1".encode(), {"Content-Type": "text/csv"}),
        *(("GET", path, None, {}) for path in (f"/{marker}", f"/v2/models/{marker}", "/metrics")),
        *((marker, "/predict", b"", JSON), ("POST", "/predict", b"{}", {"Content-Encoding": marker, marker: marker})),
    ]
    answers = [ask(gateway, method, path, body, headers) for method, path, body, headers in asked]
    sent = b"".join(each.body + str(dict(each.headers)).encode() for each in answers).decode()
    assert marker not in sent + gateway.log.read_text(encoding="utf-8")
