"""The worker process always ends in bounded time."""

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


def test_a_failed_worker_exits_even_if_its_shutdown_hangs() -> None:
    """It exits with code 1, and its last log line contains its role and the first failure."""
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=50, check=False)
    last = json.loads(done.stderr.splitlines()[-1])
    assert (done.returncode, last["event"], last["role"]) == (1, "process failed", "shadow")
    assert last["exception"]["type"] == "builtins.ValueError"
