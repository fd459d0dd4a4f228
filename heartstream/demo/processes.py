"""Runs worker and gateway as child processes, as in production."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import DependencyError

_START_SECONDS: Final = 60.0
_AUDIT: Final = "HEARTSTREAM_AUDIT__"
_STOP_SECONDS: Final = 60.0
_TAIL_LINES: Final = 5


class Child:
    """A running `heartstream` subcommand that serves its health at `url`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.name, self.process, self.url, self.log = name, process, url, log

    def is_ready(self) -> bool:
        """Return whether it is healthy. Raises DependencyError if it has ended."""
        self.check()
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=2) as response:  # noqa: S310  # a loopback URL
                return bool(response.status == 200)  # noqa: PLR2004
        except (urllib.error.URLError, OSError):
            return False

    def await_ready(self) -> None:
        """Wait until it is ready. Raises DependencyError after a minute, or if it ends."""
        deadline = time.monotonic() + _START_SECONDS
        while not self.is_ready():
            if time.monotonic() > deadline:
                raise DependencyError(f"the {self.name} did not become ready; its log ends:\n{self._tail()}")
            time.sleep(0.1)

    def check(self) -> None:
        """Raise DependencyError if it has ended."""
        if self.process.poll() is not None:
            code = self.process.returncode
            raise DependencyError(f"the {self.name} ended with code {code}; its log ends:\n{self._tail()}")

    def _tail(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])


@contextmanager
def running(
    command: str, settings: Mapping[str, str], url: str, log: Path, arguments: Sequence[str] = ()
) -> Iterator[Child]:
    """Run a subcommand with the environment and these settings; stop it with SIGTERM, as Kubernetes does."""
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603  # our own command
            [sys.executable, "-m", "heartstream", command, *arguments],
            env=_environment(settings),
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C goes to the demo, which then stops its children in order.
            start_new_session=True,
        )
    try:
        yield Child(command, process, url, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment, with these settings in place of its own, including those read from files.

    Audit settings are removed: the demo's requests do not belong into an audit trail.
    """
    names = {name for name in os.environ if name.removesuffix("_FILE") in settings or name.startswith(_AUDIT)}
    return {name: text for name, text in os.environ.items() if name not in names} | dict(settings)


def predict(url: str, record: bytes) -> dict[str, object]:
    """Send one record to the gateway; returns the response."""
    request = urllib.request.Request(f"{url}/predict", data=record, method="POST")  # noqa: S310  # a loopback URL
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        answer: dict[str, object] = json.load(response)
        return answer
