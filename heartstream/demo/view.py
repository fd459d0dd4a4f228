"""Output of the demo: a live view on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from heartstream.demo.rates import Rates
from heartstream.demo.reconciliation import Reconciliation
from runtime.record_to_score import NAME, as_text

_LINE_EVERY_SECONDS: Final = 2.0


class View(Protocol):
    """Shows the state of the demo."""

    def print_line(self, line: str) -> None:
        """Print a line."""
        ...

    def update(self, reconciliation: Reconciliation) -> None:
        """Show the current counts."""
        ...


class PlainView:
    """Prints a line every two seconds."""

    def __init__(self) -> None:
        self._rates = Rates()
        self._next = 0.0

    def print_line(self, line: str) -> None:
        """Print a line."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def update(self, reconciliation: Reconciliation) -> None:
        """Print a line if two seconds have passed."""
        now = time.monotonic()
        produced, finished = self._rates.update(reconciliation, now)
        if now < self._next:
            return
        self._next = now + _LINE_EVERY_SECONDS
        summary = reconciliation.summary()
        self.print_line(
            f"in {produced:5.0f}/s  out {finished:5.0f}/s  lag {summary.open:4}  scored {summary.scored:6}  "
            f"dead {summary.dead:4}  {NAME.lower()} {as_text(reconciliation.record_to_score())}"
        )


@contextmanager
def new_view() -> Iterator[View]:
    """Yield a live view if standard output is a terminal, else a plain one."""
    if not sys.stdout.isatty():
        yield PlainView()
        return
    from heartstream.demo.live import LiveView  # noqa: PLC0415  # rich, where it is needed

    with LiveView() as live:
        yield live
