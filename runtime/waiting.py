"""Shows on standard error what a command waits for."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SILENT_SECONDS: Final = 1.5


@contextmanager
def waiting_for(what: str, silent_seconds: float = SILENT_SECONDS) -> Iterator[None]:
    """Show on standard error what the block waits for, after `silent_seconds`: a terminal counts the seconds."""
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(f"heartstream: waiting for {what}", silent_seconds, done))
    thread.daemon = True
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(line: str, silent_seconds: float, done: threading.Event) -> None:
    started, stream = time.monotonic(), sys.stderr
    if done.wait(silent_seconds):
        return
    # A live view, which shows its own seconds, replaces the stream.
    counts = stream.isatty() and stream is sys.__stderr__
    if not counts:
        stream.write(f"{line}\n")
        stream.flush()
        return
    while True:
        stream.write(f"\r\x1b[K{line} ({time.monotonic() - started:.0f} s)")
        stream.flush()
        if done.wait(1):
            stream.write("\r\x1b[K")
            stream.flush()
            return
