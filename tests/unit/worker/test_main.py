"""Laws of the worker process: it ends in bounded time."""

from __future__ import annotations

import json
import subprocess
import sys

STUCK = """
import time
from runtime import logs
from runtime.settings import Telemetry
from worker.bootstrap import ScoringApp
from worker.main import _BoundedWorker

worker = _BoundedWorker(ScoringApp("stuck"), quiet=True, redirect_stdouts=False)
logs.configure(Telemetry())
worker.role, worker.stop_within_seconds = "shadow", 0.2
worker._crash(ValueError("the first cause"))
worker._crash(KeyError("what followed from it"))
time.sleep(60)
"""


def test_a_worker_that_failed_ends_though_its_shutdown_never_begins() -> None:
    """With code 1, and its last line says which role it had and what failed first."""
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=50, check=False)
    last = json.loads(done.stderr.splitlines()[-1])
    assert (done.returncode, last["event"], last["role"]) == (1, "process failed", "shadow")
    assert last["exception"]["type"] == "builtins.ValueError"
