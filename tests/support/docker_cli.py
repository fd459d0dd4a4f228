"""Docker's command line, with a timeout on everything."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from schemas.errors import DependencyError

ROOT = Path(__file__).resolve().parents[2]
Found = TypeVar("Found")


def log_progress(text: str) -> None:
    """Write one line of progress to standard error."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {text}\n")
    sys.stderr.flush()


def docker(*arguments: str, seconds: float = 120) -> str:
    """Run a docker command and return its standard output; raises DependencyError with the end of its output."""
    return run("docker", *arguments, seconds=seconds)


def run(*command: str, seconds: float = 120) -> str:
    """Run a command in the repository; raises DependencyError with the end of its output if it fails."""
    done = attempt(*command, seconds=seconds)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-15:]
        raise DependencyError(f"{' '.join(command[:4])} ended with code {done.returncode}: " + "\n".join(said))
    return done.stdout


def attempt(*command: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository, whatever its exit code; raises DependencyError if it is not installed."""
    try:
        return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=seconds)
    except FileNotFoundError as error:
        raise DependencyError(f"{command[0]} is not installed, or not on the PATH") from error
    except subprocess.TimeoutExpired as error:
        raise DependencyError(f"{' '.join(command[:4])} took longer than {seconds:.0f} s") from error


def docker_answers() -> bool:
    """Whether there is a docker command and an engine that responds."""
    return shutil.which("docker") is not None and attempt("docker", "info", seconds=30).returncode == 0


def inspect(kind: str, name: str) -> Any:
    """Return Docker's description of an image, container or volume."""
    return json.loads(docker(kind, "inspect", name))[0]


def wait_for(what: str, look: Callable[[], Found], seconds: float, pause: float = 0.1) -> Found:
    """Poll until `look` returns something true, and return it; raises TimeoutError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(pause)
    return found
