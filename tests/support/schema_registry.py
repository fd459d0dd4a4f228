"""A real schema registry: the one that a variable names, or Apicurio's, a Java program from Maven Central."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from runtime.ports import free_port

GIVEN_REGISTRY: Final = "HEARTSTREAM_TEST_REGISTRY_URL"
VERSION: Final = "3.0.9"
"""The last version that runs on Java 17."""
_START_SECONDS: Final = 120.0


@contextmanager
def running_registry() -> Iterator[str]:
    """Yield the URL of a registry with Confluent's API; skip the test if there is none."""
    if given := os.environ.get(GIVEN_REGISTRY):
        yield given
        return
    java, program = _java(), _program()
    port = free_port()
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    quick = ("-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dquarkus.http.port={port}")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([java, *quick, "-jar", program], stdout=log, stderr=log, cwd=program.parent)
        try:
            _await(url, process)
            yield url
        finally:
            process.kill()
            process.wait()


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{url}/subjects", timeout=5).close()
        except (OSError, urllib.error.URLError):
            assert process.poll() is None, "the registry ended"
            assert time.monotonic() < deadline, "the registry does not come up"
            time.sleep(0.2)
        else:
            return


def _java() -> str:
    java = shutil.which("java")
    if java is None or shutil.which("mvn") is None:
        pytest.skip(f"no schema registry: give {GIVEN_REGISTRY}, or Java 17 and Maven")
    return java


def _program() -> Path:
    """Return the program, downloaded once into the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heartstream"
    folder = cache / f"apicurio-registry-{VERSION}"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            artifact = f"io.apicurio:apicurio-registry-app:{VERSION}:tar.gz:all"
            command = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={artifact}", f"-DoutputDirectory={scratch}"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            (archive, *_) = [*Path(scratch).glob("*.tar.gz"), None]
            if archive is None:
                pytest.skip(f"Maven cannot fetch a schema registry: {(done.stdout + done.stderr)[-300:]}")
            with tarfile.open(archive) as files:
                files.extractall(Path(scratch) / "program", filter="data")
            (Path(scratch) / "program").rename(folder)
    (program,) = folder.glob("*-runner.jar")
    return program
