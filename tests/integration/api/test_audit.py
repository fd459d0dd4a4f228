"""Laws of the audit trail: complete, without a name, and never bypassed."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from heartstream.brokers import create_topics
from heartstream.demo.processes import running
from runtime.embedded import free_port
from schemas.errors import DependencyError
from tests.integration.calls import JSON, LINES, PATIENTS, ask
from tests.integration.conftest import Starter

KEY = "a-test-key-of-some-length"


def lines(trail: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in trail.read_bytes().splitlines()]


def test_every_record_of_every_door_has_an_entry(start: Starter, tmp_path: Path) -> None:
    """One record, an array, lines, tensors and frames, scored or rejected: digests in order, who and when."""
    trail = tmp_path / "audit.jsonl"
    with start(AUDIT__PATH=str(trail), AUDIT__KEY=KEY) as gateway:
        began = time.time()
        ask(gateway, "POST", "/predict", PATIENTS[0])
        ask(gateway, "POST", "/predict", b"{}")
        ask(gateway, "POST", "/predict/batch", b"[" + b",".join(PATIENTS[1:3]) + b"]", JSON)
        ask(gateway, "POST", "/predict/batch", b"\n".join(PATIENTS[3:6]), LINES)
        name = ask(gateway, "GET", "/model").json["model"]["name"]
        tensor = {"name": "record", "shape": [1], "datatype": "BYTES", "data": [PATIENTS[6].decode()]}
        ask(gateway, "POST", f"/v2/models/{name}/infer", json.dumps({"inputs": [tensor]}).encode(), JSON)
        ask(gateway, "POST", "/invocations", json.dumps({"instances": [json.loads(PATIENTS[7])]}).encode(), JSON)
        score = ask(gateway, "POST", "/predict", PATIENTS[0]).json
    found = lines(trail)
    sent = [PATIENTS[0], b"{}", *PATIENTS[1:7]]
    assert [each["record"] for each in found[:8]] == [hashlib.sha256(body).hexdigest() for body in sent]
    assert (len(found), {each["caller"] for each in found}, {each["door"] for each in found}) == (
        10,
        {"address:127.0.0.1"},
        {"http"},
    )
    assert set(found[1]) == {"at", "door", "caller", "record", "rejected"}
    assert (found[0]["risk"], found[0]["label"], found[0]["model"]) == (
        score["risk"],
        score["label"],
        score["model"]["digest"],
    )
    assert {**found[0], "at": 0} == {**found[9], "at": 0}
    assert str(found[0]["at"]) >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began))


def test_a_patient_is_a_pseudonym(start: Starter, tmp_path: Path) -> None:
    """No id and no value; the same patient is the same under one key, and another under another."""
    marked = json.loads(PATIENTS[0]) | {"patient_id": "Zebra-4711", "chol": 417}
    body, trails = json.dumps(marked).encode(), [tmp_path / "one", tmp_path / "two"]
    for trail, key in zip(trails, (KEY, KEY[::-1]), strict=True):
        with start(AUDIT__PATH=str(trail), AUDIT__KEY=key) as gateway:
            for _ in range(2):
                ask(gateway, "POST", "/predict", body)
            assert "Zebra" not in gateway.log.read_text(encoding="utf-8")
    one, two = ([each["patient"] for each in lines(trail)] for trail in trails)
    assert (one[0] == one[1], one[0] == two[0], len(str(one[0]))) == (True, False, 32)
    assert [word for word in (b"Zebra", b"417") if word in b"".join(trail.read_bytes() for trail in trails)] == []


def test_the_record_itself_only_on_request(start: Starter, tmp_path: Path) -> None:
    """Behind a switch of its own."""
    with start(AUDIT__PATH=str(tmp_path / "trail"), AUDIT__KEY=KEY, AUDIT__WITH_INPUT="true") as gateway:
        ask(gateway, "POST", "/predict", PATIENTS[0])
    assert [each["input"] for each in lines(tmp_path / "trail")] == [PATIENTS[0].decode()]


def test_what_cannot_be_noted_is_not_answered(start: Starter) -> None:
    """A full disk: 503, no score, and the others' probes go on."""
    with start(AUDIT__PATH="/dev/full", AUDIT__KEY=KEY) as gateway:
        found = ask(gateway, "POST", "/predict", PATIENTS[0])
        many = ask(gateway, "POST", "/predict/batch", PATIENTS[0], LINES)
        assert (found.status, many.status, b"risk" in found.body + many.body) == (503, 503, False)
        assert ask(gateway, "GET", "/health/live").status == 200


def test_a_topic_has_every_line(start: Starter, broker: str, tmp_path: Path) -> None:
    """The same lines as the file, also those that were on their way when it was told to stop."""
    topic, trail = f"audit-{uuid.uuid4().hex[:8]}", tmp_path / "trail"
    create_topics(broker, [topic], 1, {})
    with start(AUDIT__PATH=str(trail), AUDIT__TOPIC=topic, AUDIT__KEY=KEY, KAFKA__BOOTSTRAP_SERVERS=broker) as gateway:
        assert ask(gateway, "POST", "/predict/batch", b"\n".join(PATIENTS[:50]), LINES).status == 200
    consumer = Consumer({"bootstrap.servers": broker, "group.id": topic, "log_level": 2})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = [message.value() for message in consumer.consume(50, 20)]
    consumer.close()
    assert found == trail.read_bytes().splitlines()


def test_a_topic_that_takes_nothing_is_noticed(start: Starter) -> None:
    """Without its broker the gateway refuses to answer, once it knows."""
    with start(
        AUDIT__TOPIC="audit",
        AUDIT__KEY=KEY,
        KAFKA__BOOTSTRAP_SERVERS=f"127.0.0.1:{free_port()}",
        KAFKA__OPTIONS__DELIVERY_TIMEOUT_MS="1000",
    ) as gateway:
        deadline = time.monotonic() + 30
        while ask(gateway, "POST", "/predict", PATIENTS[0]).status == 200:
            assert time.monotonic() < deadline
        assert ask(gateway, "POST", "/predict", PATIENTS[0]).status == 503


@pytest.mark.parametrize("settings", [{"PATH": "/no/such/folder/trail", "KEY": KEY}, {"PATH": "x", "KEY": "short"}])
def test_a_trail_that_cannot_be_kept_stops_the_start(model_dir: Path, tmp_path: Path, settings: dict[str, str]) -> None:
    """The setting is named, and the key is not shown."""
    port = str(free_port())
    named = {f"HEARTSTREAM_AUDIT__{name}": value for name, value in settings.items()}
    fixed = {"HEARTSTREAM_MODEL__PATH": str(model_dir), "HEARTSTREAM_GATEWAY__PORT": port}
    with (
        pytest.raises(DependencyError, match="HEARTSTREAM_AUDIT__"),
        running("gateway", {**fixed, **named}, f"http://127.0.0.1:{port}", tmp_path / "log") as child,
    ):
        child.await_ready()
    assert child.process.returncode == 78
