"""The number of usable CPUs is limited by the system's affinity and by the container's quota."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.cpu_count import usable_cpus

ALLOWED = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("quota", "processors"),
    [
        ("max 100000\n", ALLOWED),
        ("150000 100000\n", 1),
        ("20000 100000\n", 1),
        (f"{(ALLOWED + 3) * 100_000} 100000\n", ALLOWED),
        ("a quarter of one", ALLOWED),
        ("100000 0\n", ALLOWED),
    ],
)
def test_a_quota_limits_the_number_of_whole_cpus(quota: str, processors: int, tmp_path: Path) -> None:
    """A quota is rounded down to whole CPUs, but never below one; an unreadable quota sets no limit."""
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert usable_cpus(file) == processors


def test_without_a_quota_affinity_decides(tmp_path: Path) -> None:
    """Without cgroup files, as outside containers, the count is that of the CPU affinity."""
    assert usable_cpus(tmp_path / "absent") == ALLOWED
    one = next(iter(os.sched_getaffinity(0)))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {one})
    try:
        assert usable_cpus(tmp_path / "absent") == 1
    finally:
        os.sched_setaffinity(0, before)
