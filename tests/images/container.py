"""A container of an image, run as documented: only /tmp writable, without capabilities."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runtime.ports import free_port
from tests.support.docker_cli import attempt, docker, inspect, wait_for

HARDENED: Final = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
_PORTS: Final = {"worker": 9100, "gateway": 8000}
_STOP_SECONDS: Final = 30


class Container:
    """A running container; `url` is that of its port, `started` the time of the call of `docker run`."""

    def __init__(self, identifier: str, url: str, started: float) -> None:
        self.identifier, self.url, self.started = identifier, url, started

    def log(self) -> str:
        """Return its log so far."""
        done = attempt("docker", "logs", self.identifier)
        return done.stdout + done.stderr

    def await_answer(self, path: str, seconds: float = 60) -> float:
        """Wait until this path returns 200; return the seconds since `docker run`."""
        wait_for(f"{path} of the container", lambda: self._answers(path), seconds, pause=0.01)
        return time.monotonic() - self.started

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError, http.client.HTTPException):
            state = inspect("container", self.identifier)["State"]
            assert state["Running"], f"it ended with code {state['ExitCode']}:\n{self.log()[-2000:]}"
            return False

    def await_healthy(self) -> None:
        """Wait until Docker reports it as healthy."""
        wait_for("healthy, says Docker,", self._is_healthy, 60)

    def _is_healthy(self) -> bool:
        return bool(inspect("container", self.identifier)["State"]["Health"]["Status"] == "healthy")

    def stop(self) -> tuple[int, float]:
        """Stop it as Kubernetes would (SIGTERM); return its exit code and how long that took."""
        asked = time.monotonic()
        docker("stop", "--time", str(_STOP_SECONDS), self.identifier)
        return int(inspect("container", self.identifier)["State"]["ExitCode"]), time.monotonic() - asked


@contextmanager
def running(
    target: str, image: str, model: Path | None, network: str, environment: Mapping[str, str]
) -> Iterator[Container]:
    """Run a worker or gateway in the context, with a model directory mounted if one is given."""
    port = free_port()
    options = ["--detach", *HARDENED, "--health-interval=1s", f"--publish=127.0.0.1:{port}:{_PORTS[target]}"]
    options += [f"--network={network}", *_mounted(model)]
    options += [f"--env={name}={value}" for name, value in environment.items()]
    started = time.monotonic()
    identifier = docker("run", *options, image).strip()
    try:
        yield Container(identifier, f"http://127.0.0.1:{port}", started)
    finally:
        docker("rm", "--force", "--volumes", identifier)


def _mounted(model: Path | None) -> Sequence[str]:
    """Return the option that mounts a model directory at the images' model path."""
    return [f"--volume={model}:/model:ro"] if model is not None else []


def inside(image: str, script: str) -> str:
    """Run a shell script in a new container of the image and return its output."""
    return docker("run", "--rm", *HARDENED, "--entrypoint=sh", image, "-c", script)


def as_root(image: str, script: str) -> str:
    """Run a shell script as root, with access to every file."""
    return docker("run", "--rm", "--user=root", "--read-only", "--network=none", "--entrypoint=sh", image, "-c", script)
