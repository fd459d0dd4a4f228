"""What a process and its children cost, from /proc (Linux); NaN where there is none."""

from __future__ import annotations

import math
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

_UTIME: Final = 11
"""Places after the command's name in /proc/PID/stat: user time here, system time next."""
MEBIBYTE: Final = 2**20
_SAMPLE_SECONDS: Final = 0.1


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants. Each may end meanwhile."""
    yield pid
    children: list[str] = []
    with suppress(OSError):
        for listed in Path(f"/proc/{pid}/task").glob("*/children"):
            children += listed.read_text(encoding="utf-8").split()
    for child in children:
        yield from tree(int(child))


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process and its children have used so far, on all threads."""
    ticks = [_ticks(each) for each in tree(pid)]
    return sum(ticks) / os.sysconf("SC_CLK_TCK") if not math.isnan(ticks[0]) else math.nan


def _ticks(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return math.nan
    return int(fields[_UTIME]) + int(fields[_UTIME + 1])


def peak_mib(pid: int) -> float:
    """Return the largest resident memory so far, the peaks of a process and its children added, in MiB."""
    return _status_mib(pid, "VmHWM")


def resident_mib(pid: int) -> float:
    """Return the resident memory now, of a process and its children, in MiB."""
    return _status_mib(pid, "VmRSS")


def watched_peak_mb(running: subprocess.Popen[Any]) -> float:
    """Wait for a process to end; return the peak memory of it and its children, in MB.

    What several share is counted once, so it is sampled.
    """
    most = 0.0
    while running.poll() is None:
        most = max(most, _proportional_mb(running.pid))
        time.sleep(_SAMPLE_SECONDS)
    return most


def _proportional_mb(pid: int) -> float:
    sizes = [size for each in tree(pid) if not math.isnan(size := _field_kib(each, "Pss", "smaps_rollup"))]
    return sum(sizes) * 1024 / 1e6 if sizes else math.nan


def _status_mib(pid: int, field: str) -> float:
    sizes = [size for each in tree(pid) if not math.isnan(size := _field_kib(each, field))]
    return sum(sizes) / 1024 if sizes else math.nan


def _field_kib(pid: int, field: str, file: str = "status") -> float:
    try:
        lines = Path(f"/proc/{pid}/{file}").read_text(encoding="utf-8").splitlines()
    except OSError:
        return math.nan
    return next((float(line.split()[1]) for line in lines if line.startswith(f"{field}:")), math.nan)
