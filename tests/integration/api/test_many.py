"""`/predict/batch`: arrays and JSON lines, each record with its own outcome, in bounded memory."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator, Sequence

import pytest

from bench.cost import resident_mib
from heartstream.demo.patients import FLAWS, real_patients
from heartstream.demo.processes import Child
from schemas.records import PatientRecord
from scoring.scorer import Scorer
from tests.support.calls import JSON, LINES, PATIENTS, ask, connected, everything
from tests.support.examples import rejected
from tests.support.outcomes import Rejected, process
from tests.support.public_copies import copy_records, uci_records
from tests.support.uci import validate

PATH = "/predict/batch"
# Invalid JSON would break the array, and a line break within a record the lines.
MIXED = [*PATIENTS[:5], b'{"patient_id":"x"}', *PATIENTS[5:9], b"7", PATIENTS[9]]


def expected(bodies: Sequence[bytes], scorer: Scorer) -> list[object]:
    """Return the expected entry of each record."""
    outcomes = process(bodies, [None] * len(bodies), scorer)
    return [
        {"index": index, "errors": [{"code": f.code, "pointer": f.pointer, "message": f.message} for f in each.issues]}
        if isinstance(each, Rejected)
        else json.loads(each.value)
        for index, each in enumerate(outcomes)
    ]


def test_array_gives_an_array(gateway: Child, scorer: Scorer) -> None:
    """Scores and issues are in the order of their records."""
    found = ask(gateway, "POST", PATH, b"[" + b", ".join(MIXED) + b"]", JSON)
    assert (found.status, found.kind, found.json) == (200, "application/json", expected(MIXED, scorer))


def test_lines_give_lines(gateway: Child, scorer: Scorer) -> None:
    """One line per record; a line of invalid JSON has its issues as well, and an empty line is skipped."""
    bodies = [*MIXED, *(flaw(real_patients()[0]) or b"" for flaw in FLAWS.values()), PATIENTS[10]]
    bodies = [body for body in bodies if body.strip() and b"\n" not in body]
    found = ask(gateway, "POST", PATH, b"\n\n".join(bodies) + b"\n", LINES)
    answered = [json.loads(line) for line in found.body.splitlines()]
    assert (found.status, found.kind, answered) == (200, "application/x-ndjson", expected(bodies, scorer))


def test_same_bytes_as_one_by_one(gateway: Child) -> None:
    """A score is byte for byte the same alone and among others."""
    alone = [ask(gateway, "POST", "/predict", body).body for body in PATIENTS[:40]]
    lines = ask(gateway, "POST", PATH, b"\n".join(PATIENTS[:40]), LINES).body.splitlines()
    array = ask(gateway, "POST", PATH, b"[" + b",".join(PATIENTS[:40]) + b"]", JSON).body
    assert (lines, array) == (alone, b"[" + b",".join(alone) + b"]")


@pytest.mark.parametrize("body", [b"[]", b" [ ] "])
def test_empty_array_is_an_empty_array(gateway: Child, body: bytes) -> None:
    """An empty array is not an error."""
    assert ask(gateway, "POST", PATH, body, JSON).json == []


def test_no_lines_are_no_lines(gateway: Child) -> None:
    """An empty body of lines is not an error."""
    found = ask(gateway, "POST", PATH, b"\n", LINES)
    assert (found.status, found.body) == (200, b"")


@pytest.mark.parametrize("body", [b"", b"{}", b"[1", b"[1,]", b"\xff", b"null", b"[" * 50_000])
def test_a_body_that_is_not_an_array_is_refused(gateway: Child, body: bytes) -> None:
    """It is refused as a whole, with a problem document."""
    found = ask(gateway, "POST", PATH, body, JSON)
    assert (found.status, found.kind) == (400, "application/problem+json")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_other_types_are_refused(gateway: Child, kind: str) -> None:
    """415, and the response names the supported types."""
    found = ask(gateway, "POST", PATH, b"[]", {"Content-Type": kind})
    assert (found.status, "application/x-ndjson" in found.json["detail"]) == (415, True)


def test_each_rejected_example_has_its_issues(gateway: Child) -> None:
    """The contract's rejected examples that fit on a line."""
    examples = [(value, issues) for _, value, issues in rejected() if value.strip() and b"\n" not in value.strip(b"\n")]
    found = ask(gateway, "POST", PATH, b"\n".join(value.strip(b"\n") for value, _ in examples), LINES)
    pairs = [[(e["code"], e["pointer"]) for e in json.loads(line)["errors"]] for line in found.body.splitlines()]
    assert pairs == [issues for _, issues in examples]


def test_line_without_end_is_one_rejected_record(gateway: Child) -> None:
    """A megabyte without a line feed is too large, and the next line is scored."""
    found = ask(gateway, "POST", PATH, b"x" * 1_000_000 + b"\n" + PATIENTS[0], LINES)
    first, second = (json.loads(line) for line in found.body.splitlines())
    assert ([error["code"] for error in first["errors"]], "risk" in second) == (["too_large"], True)


def test_lines_are_answered_while_they_are_sent(gateway: Child) -> None:
    """A caller that has sent one line of an open request gets its score."""
    with connected(gateway) as connection:
        head = "POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        line = PATIENTS[0] + b"\n"
        connection.sendall(b"%x\r\n%b\r\n" % (len(line), line))
        answer = b""
        while b"risk" not in answer:
            answer += connection.recv(65_536)
        connection.sendall(b"0\r\n\r\n")
        while not answer.endswith(b"0\r\n\r\n"):
            answer += connection.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_stalled_stream_is_aborted(gateway: Child) -> None:
    """After the timeout the response ends without its last chunk, so it is not mistaken for complete."""
    with connected(gateway) as connection:
        head = "POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
        line = PATIENTS[0] + b"\n"
        connection.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + b"%x\r\n%b\r\n" % (len(line), line))
        try:
            answer = everything(connection)
        except ConnectionResetError:
            return
    assert not answer.endswith(b"0\r\n\r\n")


def test_a_long_stream_needs_no_memory(gateway: Child) -> None:
    """100,000 lines (20 MB) are answered in full; the gateway grows by less than the response."""
    lines = 100_000
    before = resident_mib(gateway.process.pid)
    connection = http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=60)
    connection.putrequest("POST", PATH)
    for header, value in {**LINES, "Transfer-Encoding": "chunked"}.items():
        connection.putheader(header, value)
    connection.endheaders()
    sender = threading.Thread(target=_send, args=(connection, lines))
    sender.start()
    found = _read(connection)
    sender.join()
    connection.close()
    assert (found, resident_mib(gateway.process.pid) - before < 15) == (lines, True)


def _send(connection: http.client.HTTPConnection, lines: int) -> None:
    block = b"\n".join(PATIENTS[:500]) + b"\n"
    for _ in range(lines // 500):
        connection.send(b"%x\r\n%b\r\n" % (len(block), block))
    connection.send(b"0\r\n\r\n")


def _read(connection: http.client.HTTPConnection) -> int:
    # The answer comes while another thread still sends, which http.client's own states do not allow for.
    response = http.client.HTTPResponse(connection.sock, method="POST")
    response.begin()
    return sum(line.startswith(b'{"patient_id"') for line in _lines(response))


def _lines(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while line := response.readline():
        yield line


def test_an_array_in_another_coding_is_not_scored(gateway: Child) -> None:
    """Nor are its rows that happen to be valid, wherever they are: an array is one source."""
    legal = [value for value in copy_records("kaggle-303") if isinstance(validate(value), PatientRecord)]
    body = b"[" + b",".join([*legal, *PATIENTS[:500], *copy_records("kaggle-303")]) + b"]"
    found = ask(gateway, "POST", PATH, body, JSON).json
    assert {each["code"] for one in found for each in one["errors"]} == {"foreign_code", "foreign_source"}


def test_the_coding_of_lines_is_checked_as_they_arrive(gateway: Child) -> None:
    """Lines of another coding are not scored unless they declare it."""
    mixed = [*copy_records("kaggle-303"), *copy_records("kaggle-303", coding="kaggle-303")]
    found = [json.loads(line) for line in ask(gateway, "POST", PATH, b"\n".join(mixed), LINES).body.splitlines()]
    alone = [ask(gateway, "POST", "/predict", record).json for record in uci_records("kaggle-303")]
    assert {each["code"] for one in found[:303] for each in one["errors"]} == {"foreign_code", "foreign_source"}
    assert found[303:] == alone
