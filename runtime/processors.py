"""How many processors this process may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
"""As a container sees its own: microseconds of processor time, or "max", in a period of microseconds."""


def usable_processors(quota: Path = _QUOTA) -> int:
    """Return how many processors are free to be used: those that the system allows, or what a container may take.

    At least 1. `quota` is a file of the form of cgroup v2's `cpu.max`; where there is none, nothing limits.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        time, period = quota.read_text(encoding="ascii").split()
        limit = allowed if time == "max" else int(time) // int(period)
    except (OSError, ValueError, ZeroDivisionError):
        limit = allowed
    return max(1, min(allowed, limit))
