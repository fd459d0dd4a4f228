"""The audit trail is complete, pseudonymous and never bypassed."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import stat
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from confluent_kafka import Consumer, TopicPartition

from heartstream.demo.processes import Child, running
from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from schemas.errors import DependencyError
from tests.support.calls import JSON, LINES, PATIENTS, ask
from tests.support.docker_cli import attempt, wait_for
from tests.support.workers import Starter

KEY = "a-test-key-of-some-length"


def lines(trail: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in trail.read_bytes().splitlines()]


def test_every_record_of_every_route_has_an_entry(start: Starter, tmp_path: Path) -> None:
    """Records, arrays, lines, tensors and frames, scored or rejected: digests in order, caller and time."""
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
    assert (len(found), {each["caller"] for each in found}, {each["interface"] for each in found}) == (
        10,
        {"address:127.0.0.1"},
        {"http"},
    )
    assert set(found[1]) == {"at", "interface", "caller", "record", "rejected"}
    assert (found[0]["risk"], found[0]["label"], found[0]["model"]) == (
        score["risk"],
        score["label"],
        score["model"]["digest"],
    )
    assert {**found[0], "at": 0} == {**found[9], "at": 0}
    assert str(found[0]["at"]) >= time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(began))


def test_a_patient_is_a_pseudonym(start: Starter, tmp_path: Path) -> None:
    """No id and no value; a patient has one pseudonym per key."""
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
    """A separate setting includes the input."""
    with start(AUDIT__PATH=str(tmp_path / "trail"), AUDIT__KEY=KEY, AUDIT__WITH_INPUT="true") as gateway:
        ask(gateway, "POST", "/predict", PATIENTS[0])
    assert [each["input"] for each in lines(tmp_path / "trail")] == [PATIENTS[0].decode()]


def test_without_an_audit_line_there_is_no_score(start: Starter) -> None:
    """On a full disk scoring gives 503 without a score, and probes are still answered."""
    with start(AUDIT__PATH="/dev/full", AUDIT__KEY=KEY) as gateway:
        found = ask(gateway, "POST", "/predict", PATIENTS[0])
        many = ask(gateway, "POST", "/predict/batch", PATIENTS[0], LINES)
        assert (found.status, many.status, b"risk" in found.body + many.body) == (503, 503, False)
        assert ask(gateway, "GET", "/health/live").status == 200


def test_the_audit_topic_has_every_line(start: Starter, broker: str, tmp_path: Path) -> None:
    """It has the same lines as the file, including those in flight at SIGTERM."""
    topic, trail = f"audit-{uuid.uuid4().hex[:8]}", tmp_path / "trail"
    create_topics(broker, [topic], 1, {})
    with start(AUDIT__PATH=str(trail), AUDIT__TOPIC=topic, AUDIT__KEY=KEY, KAFKA__BOOTSTRAP_SERVERS=broker) as gateway:
        assert ask(gateway, "POST", "/predict/batch", b"\n".join(PATIENTS[:50]), LINES).status == 200
    consumer = Consumer({"bootstrap.servers": broker, "group.id": topic, "log_level": 2})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = [message.value() for message in consumer.consume(50, 20)]
    consumer.close()
    assert found == trail.read_bytes().splitlines()


def test_no_response_is_sent_while_the_topic_is_unavailable(model_dir: Path, tmp_path: Path) -> None:
    """With only a topic and no broker every request gets 503, and the gateway is not ready."""
    port, away = free_port(), free_port()
    settings = {
        "HEARTSTREAM_MODEL__PATH": str(model_dir),
        "HEARTSTREAM_GATEWAY__PORT": str(port),
        "HEARTSTREAM_GATEWAY__SHUTDOWN_DELAY_SECONDS": "0",
        "HEARTSTREAM_AUDIT__TOPIC": "audit",
        "HEARTSTREAM_AUDIT__KEY": KEY,
        "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{away}",
        "HEARTSTREAM_KAFKA__OPTIONS__DELIVERY_TIMEOUT_MS": "2000",
    }
    with running("gateway", settings, f"http://127.0.0.1:{port}", tmp_path / "log") as gateway:
        wait_for("the gateway", lambda: _is_live(gateway), 60)
        found = [ask(gateway, "POST", "/predict", PATIENTS[0]) for _ in range(5)]
        many = ask(gateway, "POST", "/predict/batch", b"\n".join(PATIENTS[:5]), LINES)
        assert {each.status for each in [*found, many]} == {503}
        assert not [each for each in [*found, many] if b"risk" in each.body]
        wait_for("not ready", lambda: ask(gateway, "GET", "/health/ready").status == 503, 30)
        assert set(ask(gateway, "GET", "/health/ready").json["checks"]) >= {"audit"}


def _is_live(gateway: Child) -> bool:
    gateway.check()
    try:
        return ask(gateway, "GET", "/health/live").status == 200
    except OSError:
        return False


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 128 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if attempt("mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)).returncode:
        pytest.skip("may not mount")
    yield folder
    attempt("umount", str(folder))


def test_on_a_full_disk_no_response_lacks_its_line(start: Starter, small_disk: Path) -> None:
    """As the disk fills up there are as many complete lines as responses, and no partial one."""
    trail = small_disk / "trail"
    with start(AUDIT__PATH=str(trail), AUDIT__KEY=KEY) as gateway, ThreadPoolExecutor(8) as callers:
        found = list(callers.map(lambda place: _asked_alone(gateway, place), range(800)))
        answered = [digest for digest, status in found if status == 200]
        assert 0 < len(answered) < 800
        assert {status for _, status in found} == {200, 503}
        noted = [str(each["record"]) for each in lines(trail)]
        assert trail.read_bytes().endswith(b"\n")
        assert set(answered) <= set(noted)
        assert ask(gateway, "GET", "/health/ready").json["checks"]["audit"] != "ok"
        trail.write_bytes(b"")
        wait_for("200", lambda: ask(gateway, "POST", "/predict", PATIENTS[0]).status == 200, 30)
        wait_for("ready", lambda: ask(gateway, "GET", "/health/ready").status == 200, 30)


def _asked_alone(gateway: Child, place: int) -> tuple[str, int]:
    """Send a unique patient; return the record's digest and the status."""
    body = json.dumps(json.loads(PATIENTS[0]) | {"patient_id": f"p-{place}"}).encode()
    return hashlib.sha256(body).hexdigest(), ask(gateway, "POST", "/predict", body).status


def test_an_incomplete_line_after_a_crash_is_removed(start: Starter, tmp_path: Path) -> None:
    """A partial line is truncated, complete lines stay, and the next line is appended."""
    trail = tmp_path / "trail"
    trail.write_bytes(b'{"interface":"http"}\n{"interface":"ht')
    with start(AUDIT__PATH=str(trail), AUDIT__KEY=KEY) as gateway:
        ask(gateway, "POST", "/predict", PATIENTS[0])
    assert [each.get("record") for each in lines(trail)] == [None, hashlib.sha256(PATIENTS[0]).hexdigest()]


def test_a_rotated_file_is_opened_again(start: Starter, tmp_path: Path) -> None:
    """Renamed or truncated, with SIGHUP or without: each line is in one of the files, and the gateway keeps running."""
    trail, old = tmp_path / "trail", tmp_path / "trail.1"
    with start(AUDIT__PATH=str(trail), AUDIT__KEY=KEY) as gateway:
        ask(gateway, "POST", "/predict", PATIENTS[0])
        trail.rename(old)
        gateway.process.send_signal(signal.SIGHUP)
        assert ask(gateway, "POST", "/predict", PATIENTS[1]).status == 200
        assert (len(lines(old)), len(lines(trail))) == (1, 1)
        trail.write_bytes(b"")
        assert ask(gateway, "POST", "/predict", PATIENTS[2]).status == 200
        assert len(lines(trail)) == 1


def test_the_audit_file_is_readable_by_its_owner_only(start: Starter, tmp_path: Path) -> None:
    """Its mode is 0600, whatever the umask."""
    trail = tmp_path / "trail"
    with start(AUDIT__PATH=str(trail), AUDIT__KEY=KEY):
        assert stat.S_IMODE(trail.stat().st_mode) == 0o600


def test_no_response_precedes_its_line(start: Starter, tmp_path: Path) -> None:
    """A gateway that is killed under load has a complete line for every response that was received."""
    trail = tmp_path / "trail"
    answered: list[str] = []
    with suppress(AssertionError), start(AUDIT__PATH=str(trail), AUDIT__KEY=KEY) as gateway:

        def call(turn: int) -> None:
            with suppress(OSError, http.client.HTTPException):
                for place in range(10_000):
                    digest, status = _asked_alone(gateway, turn * 10_000 + place)
                    assert status == 200
                    answered.append(digest)

        with ThreadPoolExecutor(4) as callers:
            for turn in range(4):
                callers.submit(call, turn)
            wait_for("answers", lambda: len(answered) > 100, 60)
            gateway.process.kill()
    noted = {json.loads(line)["record"] for line in trail.read_bytes().splitlines(keepends=True) if line[-1:] == b"\n"}
    assert set(answered) <= noted
    assert len(answered) > 100


@pytest.mark.parametrize("settings", [{"PATH": "/no/such/folder/trail", "KEY": KEY}, {"PATH": "x", "KEY": "short"}])
def test_an_unusable_audit_trail_prevents_the_start(model_dir: Path, tmp_path: Path, settings: dict[str, str]) -> None:
    """The error names the setting and does not show the key."""
    port = str(free_port())
    named = {f"HEARTSTREAM_AUDIT__{name}": value for name, value in settings.items()}
    fixed = {"HEARTSTREAM_MODEL__PATH": str(model_dir), "HEARTSTREAM_GATEWAY__PORT": port}
    with (
        pytest.raises(DependencyError, match="HEARTSTREAM_AUDIT__"),
        running("gateway", {**fixed, **named}, f"http://127.0.0.1:{port}", tmp_path / "log") as child,
    ):
        child.await_ready()
    assert child.process.returncode == 78
