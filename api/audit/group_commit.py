"""Group commit: what came while the last lines were made durable is made durable together, by a thread of its own."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from typing import Final, Protocol

import msgspec

from runtime import events

_GROUP_BYTES: Final = 4_194_304
_LOOK_SECONDS: Final = 1.0
_TOLD_SECONDS: Final = 10.0
"""So long after a failure the gateway is not ready; then a request may find out whether all is well again."""
_CLOSE_SECONDS: Final = 15.0


class Writer(Protocol):
    """Where lines are kept. One thread calls."""

    def write(self, lines: bytes) -> None:
        """Make some whole lines durable; raises OSError if that cannot be. May block for some seconds."""

    def problem(self) -> str | None:
        """Say what will keep lines from being written; raises OSError. May block for a second."""

    def close(self) -> None:
        """Finish; may block for some seconds."""


class _Waiting(msgspec.Struct, frozen=True):
    lines: bytes
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop


class Committer:
    """Commits lines to one writer, in the order in which they come."""

    def __init__(self, writer: Writer) -> None:
        """Start the thread; it ends with `close`."""
        self._writer = writer
        self._queue: queue.Queue[_Waiting | None] = queue.Queue()
        self._problem: str | None = None
        self._failed_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def commit(self, lines: bytes) -> asyncio.Future[None]:
        """Return what is done when the lines are durable, and has an OSError if they cannot be."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._queue.put(_Waiting(lines, done, loop))
        return done

    def problem(self) -> str | None:
        """Say why lines cannot be written, as far as is known; does not block."""
        if time.monotonic() - self._failed_at < _TOLD_SECONDS:
            return "cannot be written"
        return self._problem

    def close(self) -> None:
        """Commit what is waiting, and finish."""
        self._queue.put(None)
        self._thread.join(_CLOSE_SECONDS)
        self._writer.close()

    def _run(self) -> None:
        looked_at = float("-inf")
        while True:
            if time.monotonic() - looked_at >= _LOOK_SECONDS:
                self._look()
                looked_at = time.monotonic()
            group, is_last = self._next_group()
            if group:
                self._write(group)
            if is_last:
                return

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        """Return what waits, and whether it is the last of all; nothing where nothing comes for a while."""
        group: list[_Waiting] = []
        size = 0
        try:
            while size < _GROUP_BYTES:
                waiting = self._queue.get(not group, _LOOK_SECONDS)
                if waiting is None:
                    return group, True
                group.append(waiting)
                size += len(waiting.lines)
        except queue.Empty:
            pass
        return group, False

    def _write(self, group: list[_Waiting]) -> None:
        problem: Exception | None = None
        try:
            self._writer.write(b"".join(waiting.lines for waiting in group))
            self._failed_at = float("-inf")
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody may wait for ever, nor be answered
            self._failed_at, problem = time.monotonic(), error
            events.RequestFailed(error).emit()
        group[0].loop.call_soon_threadsafe(_resolve, group, problem)

    def _look(self) -> None:
        try:
            self._problem = self._writer.problem()
        except OSError as error:
            self._problem = f"cannot be written ({error.strerror or type(error).__name__})"


def _resolve(group: list[_Waiting], problem: Exception | None) -> None:
    for waiting in group:
        if waiting.done.done():
            continue
        if problem is None:
            waiting.done.set_result(None)
        else:
            waiting.done.set_exception(problem)
