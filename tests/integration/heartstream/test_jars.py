"""The jars of the embedded Kafka are exactly the locked ones, whoever downloads them and however often."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import pytest

from heartstream.embedded_kafka.jars import fetch_jars, locked_jars
from runtime.ports import free_port
from schemas.errors import DependencyError
from tests.fakes.http_server import Server, content, running_server
from training.data.dataset import RemoteFile

BODIES = {f"jar-{number}-1.jar": bytes([number]) * 200_000 for number in range(20)}
JARS = [
    RemoteFile(f"org/some/{name[:-6]}/1/{name}", len(body), sha256(body).hexdigest()) for name, body in BODIES.items()
]


@pytest.fixture
def repository() -> Iterator[Server]:
    with running_server() as server:
        server.answers = {name: content(body) for name, body in BODIES.items()}
        yield server


def test_the_lock_has_kafka_and_no_host() -> None:
    """Apache Kafka 4.1.0 and its dependencies, each with a hash; paths are those of any Maven repository."""
    jars = locked_jars()
    assert "org/apache/kafka/kafka_2.13/4.1.0/kafka_2.13-4.1.0.jar" in [jar.name for jar in jars]
    assert (len(jars), len({jar.name for jar in jars})) == (46, 46)
    assert [jar for jar in jars if "://" in jar.name or not re.fullmatch("[0-9a-f]{64}", jar.sha256)] == []


def test_jars_are_downloaded_once(repository: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The first time each is requested once, with one line of progress; the second time none is."""
    for _ in range(2):
        paths = fetch_jars(tmp_path / "jars", repository.url, JARS)
        assert [path.read_bytes() for path in paths] == list(BODIES.values())
    assert sorted(repository.asked) == sorted(BODIES)
    assert capfd.readouterr().err.count("downloading Apache Kafka (20 jars, 3 MiB)") == 1


def test_another_jar_is_refused(repository: Server, tmp_path: Path) -> None:
    """A jar without the locked hash is not kept, and the error names it."""
    repository.answers["jar-3-1.jar"] = content(b"x" * 200_000)
    with pytest.raises(DependencyError, match=r"jar-3-1\.jar refused"):
        fetch_jars(tmp_path / "jars", repository.url, JARS)
    assert not (tmp_path / "jars" / JARS[3].name).exists()


def test_two_processes_may_download_at_once(repository: Server, tmp_path: Path) -> None:
    """Both have every jar in full."""
    with get_context("spawn").Pool(2) as pool:
        for paths in pool.starmap(fetch_jars, [(tmp_path / "jars", repository.url, JARS)] * 2):
            assert [path.read_bytes() for path in paths] == list(BODIES.values())
    assert [path.name for path in (tmp_path / "jars").rglob(".*")] == []


def test_offline_it_says_what_to_do(tmp_path: Path) -> None:
    """The setting, the command, the folder and the other brokers; exit code 69."""
    nobody = f"http://user:secret@127.0.0.1:{free_port()}/m2"
    own = {"XDG_CACHE_HOME": str(tmp_path), "HEARTSTREAM_EMBEDDED_KAFKA__MAVEN_REPOSITORY": nobody}
    command = [sys.executable, "-m", "heartstream", "demo", "--broker", "embedded", "--download-only"]
    done = subprocess.run(command, env=os.environ | own, capture_output=True, text=True, check=False)
    assert done.returncode == 69, done.stderr
    for part in (
        "HEARTSTREAM_EMBEDDED_KAFKA__MAVEN_REPOSITORY=",
        "heartstream demo --download-only",
        str(tmp_path / "heartstream" / "kafka" / "jars"),
        "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=",
        "--broker docker",
    ):
        assert part in done.stderr
    assert "secret" not in done.stderr
