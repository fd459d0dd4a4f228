"""Ctrl-C and SIGTERM at a time of our choosing: not between sending letters and noting that they were sent."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back() -> Iterator[Callable[[], None]]:
    """Yield a function that raises KeyboardInterrupt if there was a signal. A second signal raises it on the spot."""
    came = False

    def note(_signum: int, _frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True
        sys.stderr.write("\nheartstream: stopping when what is on its way is confirmed; once more stops at once\n")

    def check() -> None:
        if came:
            raise KeyboardInterrupt

    before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
