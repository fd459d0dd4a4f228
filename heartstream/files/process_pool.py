"""Several processes that score one file: this one reads and writes, the others score, and the order stays.

A batch and its scores lie in memory that all share; only their sizes go through pipes: to send a score through one
costs more than to make it. The processes are forked: they have the proved model at once.
"""

from __future__ import annotations

import mmap
import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final

import msgspec

from heartstream.files.tally import Part
from schemas.errors import DependencyError, HeartstreamError
from scoring.evidence import Evidence
from scoring.pipeline import Rejected

ScoreBatch = Callable[[object], Part]

_SLOT_BYTES: Final = 1 << 25
"""Several times what usual batches need. Memory that is not touched costs nothing."""


class _Task(msgspec.Struct, frozen=True):
    """A batch that lies in a slot: `size` bytes of lines, or of Arrow's stream format."""

    slot: int
    size: int
    is_lines: bool


class _Done(msgspec.Struct, frozen=True):
    """Scores that lie in the slot of their task; where they are too many for it, they are in `content`."""

    size: int
    content: bytes | None
    scored: int
    rejected: list[tuple[int, Rejected]]
    evidence: Evidence


class Crew:
    """Processes that score the batches of one run. Each has two to do, so that it need not wait for the writing."""

    def __init__(self, score: ScoreBatch, processes: int, closing: ExitStack) -> None:
        """Start the processes; `closing` ends them. Raises DependencyError where there is no room for them.

        No thread that holds a lock of ours may run meanwhile; pyarrow's, which read ahead, hold none.
        """
        self._score = score
        try:
            self._slots = [mmap.mmap(-1, _SLOT_BYTES) for _ in range(2 * processes + 1)]
            self._members = [_Member(score, self._slots, closing) for _ in range(processes)]
        except OSError as error:
            raise DependencyError(
                f"cannot start {processes} processes that score ({error.strerror}): --processes 1 needs none"
            ) from error
        self._free = deque(range(len(self._slots)))
        self._handed: deque[tuple[_Member, int] | Part] = deque()
        self._shown: int | None = None

    def score(self, batches: Iterator[object]) -> Iterator[Part]:
        """Yield what comes of each batch, in order. A part's content may be read until the one after the next is asked.

        Raises what reading and scoring raise, and DependencyError where a process died.
        """
        for batch in batches:
            while not self._free:
                yield self._first_handed()
            size = _laid(batch, self._slots[self._free[0]])
            if size is None:
                self._handed.append(self._score(batch))
                continue
            slot, member = self._free.popleft(), self._least_busy()
            member.hand(_Task(slot, size, isinstance(batch, list)))
            self._handed.append((member, slot))
        while self._handed:
            yield self._first_handed()

    def to_do(self) -> list[int]:
        """Tell how many batches each of the processes has not scored yet."""
        return [member.to_do() for member in self._members]

    def _least_busy(self) -> _Member:
        """Return who has least to do; among equals, who has got least so far."""
        whose = zip(self.to_do(), self._members, strict=True)
        return min(whose, key=lambda each: (each[0], each[1].handed))[1]

    def _first_handed(self) -> Part:
        """Wait for the oldest result. What was shown before it has been written by now: its slot is free."""
        handed = self._handed.popleft()
        if self._shown is not None:
            self._free.append(self._shown)
            self._shown = None
        if isinstance(handed, Part):
            return handed
        member, self._shown = handed
        done = member.result()
        content = memoryview(self._slots[self._shown])[: done.size] if done.content is None else done.content
        return Part(content, done.scored, done.rejected, done.evidence)


class _Member:
    """One of the processes, seen from the one that reads and writes."""

    def __init__(self, score: ScoreBatch, slots: list[mmap.mmap], closing: ExitStack) -> None:
        self._connection, theirs = get_context("fork").Pipe()
        self._process = get_context("fork").Process(
            target=_work, args=(score, slots, theirs, self._connection), daemon=True
        )
        self._process.start()
        theirs.close()
        self.handed = 0
        self._to_do = 0
        self._done: deque[_Done | HeartstreamError] = deque()
        closing.callback(self._end)

    def _end(self) -> None:
        """End it, whatever it does: nothing of what it has is kept."""
        self._process.kill()
        self._process.join()
        self._connection.close()

    def to_do(self) -> int:
        """Return how many tasks it has not done yet."""
        while self._to_do and self._connection.poll():
            self._take()
        return self._to_do

    def hand(self, task: _Task) -> None:
        self.handed += 1
        self._to_do += 1
        try:
            self._connection.send(task)
        except OSError:
            raise self._death() from None

    def result(self) -> _Done:
        """Wait for what comes of the oldest task whose result was not asked for yet."""
        if not self._done:
            self._take()
        found = self._done.popleft()
        if isinstance(found, HeartstreamError):
            raise found
        return found

    def _take(self) -> None:
        try:
            self._done.append(self._connection.recv())
        except (EOFError, OSError):
            raise self._death() from None
        self._to_do -= 1

    def _death(self) -> DependencyError:
        self._process.join()
        code = self._process.exitcode or 0
        how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"
        return DependencyError(f"a process that scores {how}")


def _work(score: ScoreBatch, slots: list[mmap.mmap], connection: Connection, other_end: Connection) -> None:
    """Score what is handed over, until nobody is at the other end any more."""
    other_end.close()
    # Ctrl-C reaches all processes of a terminal: the one that writes says so, and ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            task: _Task = connection.recv()
            slot = slots[task.slot]
            try:
                part = score(_batch(slot, task))
            except HeartstreamError as error:
                connection.send(error)
            else:
                connection.send(_done(part, slot))
    except (EOFError, OSError):
        return


def _done(part: Part, slot: mmap.mmap) -> _Done:
    size = len(part.content)
    if size > len(slot):
        return _Done(size, bytes(part.content), part.scored, part.rejected, part.evidence)
    slot[:size] = part.content
    return _Done(size, None, part.scored, part.rejected, part.evidence)


def _laid(batch: Any, slot: mmap.mmap) -> int | None:
    """Lay a batch into a slot; returns its size, None where it is too large."""
    if isinstance(batch, list):
        lines = b"\n".join(batch)
        if len(lines) > len(slot):
            return None
        slot[: len(lines)] = lines
        return len(lines)
    from heartstream.files.columns import laid  # noqa: PLC0415  # pyarrow, where it is needed

    return laid(batch, memoryview(slot))


def _batch(slot: mmap.mmap, task: _Task) -> object:
    if task.is_lines:
        return slot[: task.size].split(b"\n")
    from heartstream.files.columns import taken  # noqa: PLC0415  # pyarrow, where it is needed

    return taken(memoryview(slot)[: task.size])
