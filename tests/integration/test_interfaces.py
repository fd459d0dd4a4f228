"""A record has one outcome, whichever interface it is sent through."""

from __future__ import annotations

import codecs
import http.client
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from heartstream import Rejection, encode_score, load_model
from heartstream.demo.processes import Child
from runtime.settings import Topics
from schemas.wire_format import schema_id
from tests.support.calls import LINES, ask
from tests.support.examples import shows_another_coding
from tests.support.record_strategies import values
from tests.support.stream import Stream
from tests.support.workers import Starter, Workers

_SOURCE = re.compile(rb'"source":(null|\{[^{}]*\})\}$')


@pytest.fixture
def gateway(start: Starter) -> Iterator[Child]:
    with start(GATEWAY__BODY_LIMIT_BYTES="1000000") as child:
        yield child


def without_prefix(value: bytes) -> bool:
    """Whether a value is not empty and has no schema registry frame."""
    return bool(value) and schema_id(value) is None


def comparable(value: bytes) -> bool:
    """Whether a value means the same at each interface; the first line of a file may have a byte order mark."""
    return without_prefix(value) and not shows_another_coding(value) and not value.startswith(codecs.BOM_UTF8)


@contextmanager
def kept_alive(gateway: Child) -> Iterator[http.client.HTTPConnection]:
    """Open one connection for many requests."""
    with closing(http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=30)) as connection:
        yield connection


def without_source(score: bytes) -> bytes:
    """Return a score without its source, the only part in which interfaces may differ."""
    return _SOURCE.sub(b"", score)


def over_http(gateway: Child, bodies: Sequence[bytes]) -> list[object]:
    """Request each record by itself; return a score's bytes, or the issues of a rejected record."""
    found: list[object] = []
    with kept_alive(gateway) as connection:
        for body in bodies:
            connection.request("POST", "/predict", body)
            response = connection.getresponse()
            answer = response.read()
            assert response.status in {200, 422}
            found.append(without_source(answer) if response.status == 200 else json.loads(answer)["errors"])
    return found


def over_kafka(stream: Stream, bodies: Sequence[bytes]) -> list[object]:
    """Send the records and wait for the outcome of each."""
    first = len(stream.sent)
    for body in bodies:
        stream.send(body)
    stream.read_all()
    # Delivery reports come partition by partition, so each record is identified by the value that was sent.
    outcomes = {sent.value: stream.only(sent) for sent in stream.sent[first:]}
    return [
        json.loads(dict(found.headers)["heartstream.dead-letter"])["errors"]
        if (found := outcomes[body]).letter
        else without_source(found.value or b"")
        for body in bodies
    ]


def over_files(model: Path, bodies: Sequence[bytes]) -> list[object]:
    """Score the records as lines of a pipe, and merge scores and rejected rows into one order."""
    with TemporaryDirectory() as folder:
        error_file = Path(folder) / "errors.ndjson"
        options = ("--format", "ndjson", "--errors", str(error_file), "--model", str(model))
        done = subprocess.run(
            [sys.executable, "-m", "heartstream", "score", "-", "-o", "-", *options],
            input=b"\n".join(bodies),
            capture_output=True,
            check=False,
        )
        assert done.returncode in {0, 65}
        lines = error_file.read_bytes().splitlines() if error_file.exists() else []
    scores = iter(done.stdout.splitlines())
    errors = {found["row"]: found["errors"] for found in map(json.loads, lines)}
    found = [errors[row] if row in errors else without_source(next(scores)) for row in range(1, len(bodies) + 1)]
    assert next(scores, None) is None
    return found


def over_python(model: Path, bodies: Sequence[bytes]) -> list[object]:
    """Score each record by itself in this process."""
    loaded = load_model(model)
    results = (loaded.score([body])[0] for body in bodies)
    return [
        [*msgspec.to_builtins(each.errors)] if isinstance(each, Rejection) else without_source(encode_score(each))
        for each in results
    ]


def drawn_values(count: int) -> list[bytes]:
    """Draw different comparable values, each as an example of its own: a list of them would be too large for one."""
    found: dict[bytes, None] = {}

    @settings(max_examples=count, suppress_health_check=list(HealthCheck))
    @given(values().filter(comparable))
    def add(value: bytes) -> None:
        found[value] = None

    add()
    return list(found)


def test_a_record_has_the_same_outcome_at_every_interface(
    stream: Stream, workers: Workers, gateway: Child, broker: str, topics: Topics, model_dir: Path
) -> None:
    """Valid records, nearly valid ones and noise get the same score to the byte, or the same issues in the same order.

    Excluded are values that begin like a schema registry frame, which only the Kafka interface unwraps, and records
    that show another coding, as each interface has its own sources.
    """
    assert topics.patients

    bodies = drawn_values(500)
    with workers.start(broker, HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO="1") as worker:
        worker.await_ready()
        asked = over_http(gateway, bodies)
        assert over_kafka(stream, bodies) == asked
    assert over_python(model_dir, bodies) == asked
    # A file whose first line opens an array is refused as a JSON array, so such lines come last.
    lines = [body for body in bodies if b"\n" not in body and body.strip()]
    lines.sort(key=lambda line: line.lstrip().startswith(b"["))
    answered = ask(gateway, "POST", "/predict/batch", b"\n".join(lines), LINES).body.splitlines()
    outcomes = dict(zip(bodies, asked, strict=True))
    expected = [outcomes[line] for line in lines]
    assert [
        json.loads(line)["errors"] if line.startswith(b'{"index"') else without_source(line) for line in answered
    ] == expected
    assert over_files(model_dir, lines) == expected
