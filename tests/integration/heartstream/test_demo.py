"""The demo that keeps running: other commands find it by the settings, and Ctrl-C loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from confluent_kafka.admin import AdminClient, ConfigResource
from msgspec.structs import asdict, astuple

from heartstream.demo.run import TOPICS
from runtime.ports import free_port
from runtime.settings import Topics
from tests.support.stream import DEADLINE_SECONDS


def test_it_uses_the_ports_of_the_settings_and_ends_cleanly(model_dir: Path, tmp_path: Path) -> None:
    """Interrupted as by a terminal, every record has one outcome."""
    worker_port, gateway_port = free_port(), free_port()
    ports = {"HEARTSTREAM_TELEMETRY__PORT": str(worker_port), "HEARTSTREAM_GATEWAY__PORT": str(gateway_port)}
    command = [sys.executable, "-m", "heartstream", "demo", "--broker", "embedded", "--records", "0"]
    with (tmp_path / "told").open("w+") as told:
        demo = subprocess.Popen(
            [*command, "--model", str(model_dir)], env=os.environ | ports, stdout=told, start_new_session=True
        )
        try:
            await_flow(tmp_path / "told", demo)
            with urllib.request.urlopen(f"http://127.0.0.1:{worker_port}/health/ready", timeout=10) as answer:
                assert json.load(answer)["status"] == "ok"
            with urllib.request.urlopen(f"http://127.0.0.1:{gateway_port}/", timeout=10) as page:
                assert page.status == 200
        finally:
            # A terminal interrupts every process of the session that it began.
            os.killpg(demo.pid, signal.SIGINT)
            code = demo.wait(DEADLINE_SECONDS)
    assert (code, (tmp_path / "told").read_text().splitlines()[-1]) == (0, "lost 0, repeated 0, wrong outcome 0")


def await_flow(told: Path, demo: subprocess.Popen[bytes]) -> None:
    """Wait until it has printed its numbers twice: then records flow."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while told.read_text().count("\nin ") < 2:
        assert (demo.poll(), time.monotonic() < deadline) == (None, True), told.read_text()
        time.sleep(0.1)


def test_on_an_existing_broker_it_uses_its_own_topics(
    broker: str, topics: Topics, model_dir: Path, tmp_path: Path
) -> None:
    """Topics, model and audit trail of the settings are not touched."""
    named = {f"HEARTSTREAM_TOPICS__{field.upper()}": name for field, name in asdict(topics).items()}
    (tmp_path / "patients").write_text(named.pop("HEARTSTREAM_TOPICS__PATIENTS"))
    (tmp_path / "servers").write_text(broker)
    own = {
        "HEARTSTREAM_TOPICS__PATIENTS_FILE": str(tmp_path / "patients"),
        "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS_FILE": str(tmp_path / "servers"),
        "HEARTSTREAM_AUDIT__TOPIC": f"{topics.patients}-audit",
        "HEARTSTREAM_AUDIT__KEY": "a key of sixteen characters",
        "HEARTSTREAM_MODEL__PATH": str(model_dir),
    }
    environment = {name: text for name, text in os.environ.items() if name != "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS"}
    command = [sys.executable, "-m", "heartstream", "demo", "--records", "200"]
    done = subprocess.run(
        command, env=environment | named | own, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    _, _, ending = done.stdout.partition("\nlost 0, repeated 0, wrong outcome 0\n\n")
    assert (done.returncode, ending.partition(",")[0]) == (0, "next"), done.stderr
    admin = AdminClient({"bootstrap.servers": broker, "log_level": 2})
    found = set(admin.list_topics(timeout=60).topics)
    assert [name for name in found if name.startswith(topics.patients)] == []
    assert {name for name in found if name.startswith("demo.")} == set(astuple(TOPICS))
    described = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name) for name in astuple(TOPICS)])
    kept = {int(answer.result(60)["retention.ms"].value) for answer in described.values()}
    assert kept == {600_000}  # an endless demo takes no more room than one of ten minutes
