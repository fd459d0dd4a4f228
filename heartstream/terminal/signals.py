"""Ending long-running commands in order on Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def until_stopped() -> Iterator[None]:
    """Run until SIGTERM, as Kubernetes sends it, or Ctrl-C; either ends the block without an error."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        return
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def deferred_interrupts() -> Iterator[Callable[[], None]]:
    """Defer SIGINT and SIGTERM, so that neither comes between sending records and recording that they were sent.

    Yields a function that raises KeyboardInterrupt if there was a signal. A second signal raises it at once.
    """
    interrupted = False

    def on_signal(_signum: int, _frame: FrameType | None) -> None:
        nonlocal interrupted
        if interrupted:
            raise KeyboardInterrupt
        interrupted = True
        sys.stderr.write("\nheartstream: stopping once records in flight are confirmed; press again to stop at once\n")

    def check() -> None:
        if interrupted:
            raise KeyboardInterrupt

    before = {signum: signal.signal(signum, on_signal) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
