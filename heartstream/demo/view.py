"""What the demo shows: a live table on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from heartstream.demo.rates import Rates
from heartstream.demo.reconciliation import Account

_LINE_EVERY_SECONDS: Final = 2.0


class View(Protocol):
    """Shows the account from time to time."""

    def print_line(self, line: str) -> None:
        """Show one line that stays."""
        ...

    def update(self, account: Account) -> None:
        """Show how things stand."""
        ...


class PlainView:
    """Writes a line every two seconds."""

    def __init__(self) -> None:
        self._rates = Rates()
        self._next = 0.0

    def print_line(self, line: str) -> None:
        """Write a line."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def update(self, account: Account) -> None:
        """Write a line when it is time."""
        now = time.monotonic()
        produced, finished = self._rates.update(account, now)
        if now < self._next:
            return
        self._next = now + _LINE_EVERY_SECONDS
        summary = account.summary()
        delay = account.median_delay()
        self.print_line(
            f"in {produced:5.0f}/s  out {finished:5.0f}/s  lag {summary.open:4}  scored {summary.scored:6}  "
            f"dead {summary.dead:4}  delay {'-' if delay is None else f'{delay * 1000:.0f} ms'}"
        )


@contextmanager
def new_view() -> Iterator[View]:
    """Yield a live view where standard output is a terminal, else a plain one."""
    if not sys.stdout.isatty():
        yield PlainView()
        return
    from heartstream.demo.live import LiveView  # noqa: PLC0415  # rich, where it is needed

    with LiveView() as live:
        yield live
