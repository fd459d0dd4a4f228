"""Waiting for other processes."""

from __future__ import annotations

import time
from collections.abc import Callable


def await_condition(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until a condition holds; fail on a timeout."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
