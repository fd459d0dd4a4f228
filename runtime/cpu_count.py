"""How many CPUs this process may use."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
"""As seen in a container: microseconds of CPU time, or "max", per period of microseconds."""


def usable_cpus(quota: Path = _QUOTA) -> int:
    """Return how many CPUs the scheduler affinity and the container's quota allow, at least 1.

    `quota` is a file in the format of cgroup v2's `cpu.max`; without one there is no limit.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        time, period = quota.read_text(encoding="ascii").split()
        limit = allowed if time == "max" else int(time) // int(period)
    except (OSError, ValueError, ZeroDivisionError):
        limit = allowed
    return max(1, min(allowed, limit))
