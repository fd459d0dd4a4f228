"""HAPI's FHIR server with Patients and Observations in memory, and HL7's validator: Java, built by Maven."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from runtime.files import locked
from runtime.ports import free_port

_PROJECT: Final = Path(__file__).parent / "hapi"
_BUILD_SECONDS: Final = 300
_START_SECONDS: Final = 120.0
_VALIDATE_SECONDS: Final = 280
_QUICK: Final = ("-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class FhirServer:
    """A running server; `url` is its FHIR base URL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def put(self, resource: Mapping[str, Any]) -> None:
        """Create or replace a resource under its own id."""
        request = urllib.request.Request(
            f"{self.url}/{resource['resourceType']}/{resource['id']}",
            json.dumps(resource).encode(),
            {"Content-Type": "application/fhir+json"},
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=10).close()


class Message(NamedTuple):
    """A message of the validator about a file. `severity` is FHIR's: fatal, error, warning or information."""

    file: str
    severity: str
    location: str
    text: str


@contextmanager
def running_fhir_server() -> Iterator[FhirServer]:
    """Run a server; skip the test without Java or Maven, or if Maven cannot fetch the server."""
    java, port = _java(), free_port()
    server = FhirServer(f"http://127.0.0.1:{port}/fhir")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*java, *_QUICK, "heartstream.FhirServer", str(port)], stdout=log, stderr=log)
        try:
            _await(server, process)
            yield server
        finally:
            process.kill()
            process.wait()


def validate(files: Iterable[Path]) -> list[Message]:
    """Return the messages of HL7's validator about files of R4 resources; skip the test as `running_fhir_server`."""
    command = [*_java(), "heartstream.Validator", *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_VALIDATE_SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [Message(*line.split("\t")) for line in done.stdout.splitlines()]


def _java() -> list[str]:
    """Return the command of Java with the built programs."""
    java = shutil.which("java")
    if java is None or shutil.which("mvn") is None:
        pytest.skip("no FHIR server: it needs Java 17 and Maven")
    program = _built()
    path = f"{program / 'classes'}{os.pathsep}{(program / 'classpath').read_text(encoding='utf-8')}"
    return [java, "-cp", path]


def _built() -> Path:
    """Return the folder of the built program, in the user's cache: it is built once for each state of its sources."""
    sources = sorted(path for path in _PROJECT.rglob("*") if path.suffix in {".xml", ".java"})
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heartstream"
    folder = cache / f"hapi-{digest}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    # Of test processes beside each other, the first one builds.
    with locked(cache), tempfile.TemporaryDirectory(dir=cache) as scratch:
        if not folder.is_dir():
            program = Path(scratch) / "program"
            goals = ["compile", "dependency:build-classpath", f"-Dmdep.outputFile={program / 'classpath'}"]
            command = ["mvn", "-q", "-B", "-f", _PROJECT / "pom.xml", f"-Doutput={program}", *goals]
            done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
            if done.returncode:
                pytest.skip(f"Maven cannot build the FHIR server: {(done.stdout + done.stderr)[-300:]}")
            program.rename(folder)
    return folder


def _await(server: FhirServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(f"{server.url}/metadata", timeout=10).close()
        except (OSError, urllib.error.URLError):
            assert process.poll() is None, "the FHIR server ended"
            assert time.monotonic() < deadline, "the FHIR server does not start"
            time.sleep(0.2)
        else:
            return
