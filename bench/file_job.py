"""The frame of a contender that scores a file: it runs the job twice, and reports the second run.

The first one lets a JVM compile, and caches fill. Nothing but the standard library is needed.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.cost import cpu_seconds

Job = Callable[[Path, Path], None]
RUNS = 2


def report(job: Job, source: Path, output: Path) -> None:
    """Run `job(source, output)`; print seconds by the clock and of all processors as JSON."""
    seconds = processor = 0.0
    for _ in range(RUNS):
        remove(output)
        started, used = time.perf_counter(), _processor_seconds()
        job(source, output)
        _sync(output)
        seconds, processor = time.perf_counter() - started, _processor_seconds() - used
    sys.stdout.write(json.dumps({"seconds": seconds, "processor": processor}) + "\n")


def remove(path: Path) -> None:
    """Delete a file or folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)


def _processor_seconds() -> float:
    """Return what this process, its living children, and those that have ended have used."""
    times = os.times()
    return cpu_seconds(os.getpid()) + times.children_user + times.children_system


def _sync(output: Path) -> None:
    """See that the output is on disk, for all contenders alike."""
    for path in [*output.iterdir()] if output.is_dir() else [output]:
        with path.open("rb") as file:
            os.fsync(file.fileno())
