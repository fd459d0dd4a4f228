"""A pool of processes that scores one file: this process reads and writes, the others score, and the order is kept.

`concurrent.futures` would pickle batches and scores through pipes, which costs more than scoring them. Here they lie in
shared memory, and only their sizes go through pipes. The processes are forked, so each has the verified model at once.
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

from heartstream.files.tally import ScoredBatch
from schemas.errors import DependencyError, HeartstreamError
from scoring.lines import Lines

ScoreBatch = Callable[[object], ScoredBatch]

_SLOT_BYTES: Final = 1 << 25
"""Several times the size of a usual batch. Untouched memory costs nothing."""


class _Task(msgspec.Struct, frozen=True):
    """A batch in a slot of shared memory: `size` bytes of lines, or of Arrow's stream format."""

    slot: int
    size: int
    is_lines: bool


_Result = tuple[int | None, ScoredBatch]
"""The size of the scores in the slot of their task, None if they are too large for it; and the scored batch."""


class ProcessPool:
    """Scores the batches of one run. Each process has two tasks, so that it does not wait for this one to write."""

    def __init__(self, score: ScoreBatch, processes: int, closing: ExitStack) -> None:
        """Start the processes; `closing` kills them. Raises DependencyError if they cannot be started.

        No other thread may hold a lock of ours during the fork; pyarrow's read-ahead threads hold none.
        """
        self._score = score
        try:
            self._slots = [mmap.mmap(-1, _SLOT_BYTES) for _ in range(2 * processes + 1)]
            self._processes = [_Process(score, self._slots, closing) for _ in range(processes)]
        except OSError as error:
            raise DependencyError(
                f"cannot start {processes} scoring processes ({error.strerror}): --processes 1 starts none"
            ) from error
        self._free = deque(range(len(self._slots)))
        self._submitted: deque[tuple[_Process, int] | ScoredBatch] = deque()
        self._yielded_slot: int | None = None

    def score(self, batches: Iterator[object]) -> Iterator[ScoredBatch]:
        """Yield the results in the order of the batches. The content of each is valid until the next but one.

        Raises what reading and scoring raise, and DependencyError if a process dies.
        """
        for batch in batches:
            while not self._free:
                yield self._next_result()
            size = _write_batch(batch, self._slots[self._free[0]])
            if size is None:
                self._submitted.append(self._score(batch))
                continue
            slot, process = self._free.popleft(), self._least_busy()
            process.submit(_Task(slot, size, isinstance(batch, Lines)))
            self._submitted.append((process, slot))
        while self._submitted:
            yield self._next_result()

    def pending(self) -> list[int]:
        """Return the number of unscored batches of each process."""
        return [process.pending() for process in self._processes]

    def _least_busy(self) -> _Process:
        """Return the process with the fewest unscored batches; among equals, the one that was given the fewest."""
        pairs = zip(self.pending(), self._processes, strict=True)
        return min(pairs, key=lambda pair: (pair[0], pair[1].submitted))[1]

    def _next_result(self) -> ScoredBatch:
        """Wait for the oldest result. The one yielded before it has been written by now, so its slot is free."""
        submitted = self._submitted.popleft()
        if self._yielded_slot is not None:
            self._free.append(self._yielded_slot)
            self._yielded_slot = None
        if isinstance(submitted, ScoredBatch):
            return submitted
        process, self._yielded_slot = submitted
        size, scored = process.result()
        if size is None:
            return scored
        return msgspec.structs.replace(scored, content=memoryview(self._slots[self._yielded_slot])[:size])


class _Process:
    """One scoring process, seen from its parent."""

    def __init__(self, score: ScoreBatch, slots: list[mmap.mmap], closing: ExitStack) -> None:
        self._connection, child_end = get_context("fork").Pipe()
        self._process = get_context("fork").Process(
            target=_run, args=(score, slots, child_end, self._connection), daemon=True
        )
        self._process.start()
        child_end.close()
        self.submitted = 0
        self._pending = 0
        self._results: deque[_Result | HeartstreamError] = deque()
        closing.callback(self._kill)

    def _kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._connection.close()

    def pending(self) -> int:
        """Return the number of tasks without a result."""
        while self._pending and self._connection.poll():
            self._receive()
        return self._pending

    def submit(self, task: _Task) -> None:
        self.submitted += 1
        self._pending += 1
        try:
            self._connection.send(task)
        except OSError:
            raise self._exit_error() from None

    def result(self) -> _Result:
        """Wait for the oldest result."""
        if not self._results:
            self._receive()
        result = self._results.popleft()
        if isinstance(result, HeartstreamError):
            raise result
        return result

    def _receive(self) -> None:
        try:
            self._results.append(self._connection.recv())
        except (EOFError, OSError):
            raise self._exit_error() from None
        self._pending -= 1

    def _exit_error(self) -> DependencyError:
        self._process.join()
        code = self._process.exitcode or 0
        how = f"was killed ({signal.Signals(-code).name})" if code < 0 else f"ended with exit code {code}"
        return DependencyError(f"a scoring process {how}")


def _run(score: ScoreBatch, slots: list[mmap.mmap], connection: Connection, parent_end: Connection) -> None:
    """Score tasks until the parent closes its end."""
    parent_end.close()
    # Ctrl-C reaches every process of a terminal: the parent reports it and kills its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        while True:
            task: _Task = connection.recv()
            slot = slots[task.slot]
            try:
                scored = score(_read_batch(slot, task))
            except HeartstreamError as error:
                connection.send(error)
            else:
                connection.send(_write_result(scored, slot))
    except (EOFError, OSError):
        return


def _write_result(scored: ScoredBatch, slot: mmap.mmap) -> _Result:
    size = len(scored.content)
    if size > len(slot):
        return None, msgspec.structs.replace(scored, content=bytes(scored.content))
    slot[:size] = scored.content
    return size, msgspec.structs.replace(scored, content=b"")


def _write_batch(batch: Any, slot: mmap.mmap) -> int | None:
    """Write a batch into a slot; returns its size, None if it is too large."""
    if isinstance(batch, Lines):
        size = len(batch.block)
        if size > len(slot):
            return None
        slot[:size] = batch.block
        return size
    from heartstream.files.columns import write_to_memory  # noqa: PLC0415  # pyarrow, where it is needed

    return write_to_memory(batch, memoryview(slot))


def _read_batch(slot: mmap.mmap, task: _Task) -> object:
    if task.is_lines:
        return Lines(slot[: task.size])
    from heartstream.files.columns import read_from_memory  # noqa: PLC0415  # pyarrow, where it is needed

    return read_from_memory(memoryview(slot)[: task.size])
