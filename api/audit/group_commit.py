"""Group commit: a thread writes together all lines that arrived during the previous write."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from typing import Final, Protocol

import msgspec

from runtime import events

_GROUP_BYTES: Final = 4_194_304
_CHECK_SECONDS: Final = 1.0
_UNREADY_SECONDS: Final = 10.0
"""How long the gateway is not ready after a failure; then a request may try again."""
_CLOSE_SECONDS: Final = 15.0


class Writer(Protocol):
    """A destination of lines. Used by one thread."""

    def write(self, lines: bytes) -> None:
        """Write complete lines durably; raises OSError. May block for some seconds."""

    def problem(self) -> str | None:
        """Return why lines cannot be written; raises OSError. May block for a second."""

    def close(self) -> None:
        """Finish; may block for some seconds."""


class _PendingCommit(msgspec.Struct, frozen=True):
    lines: bytes
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop


class GroupCommitter:
    """Commits lines to one writer, in order."""

    def __init__(self, writer: Writer) -> None:
        """Start the thread; `close` ends it."""
        self._writer = writer
        self._queue: queue.Queue[_PendingCommit | None] = queue.Queue()
        self._problem: str | None = None
        self._failed_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def commit(self, lines: bytes) -> asyncio.Future[None]:
        """Return a future that is done when the lines are durable, with OSError on failure."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._queue.put(_PendingCommit(lines, done, loop))
        return done

    def problem(self) -> str | None:
        """Return why lines cannot be written, as far as is known; does not block."""
        if time.monotonic() - self._failed_at < _UNREADY_SECONDS:
            return "cannot be written"
        return self._problem

    def close(self) -> None:
        """Commit pending lines, and stop."""
        self._queue.put(None)
        self._thread.join(_CLOSE_SECONDS)
        self._writer.close()

    def _run(self) -> None:
        checked_at = float("-inf")
        while True:
            if time.monotonic() - checked_at >= _CHECK_SECONDS:
                self._check_writer()
                checked_at = time.monotonic()
            group, is_last = self._next_group()
            if group:
                self._write(group)
            if is_last:
                return

    def _next_group(self) -> tuple[list[_PendingCommit], bool]:
        """Return the pending lines, and whether they are the last; nothing on timeout."""
        group: list[_PendingCommit] = []
        size = 0
        try:
            while size < _GROUP_BYTES:
                pending = self._queue.get(not group, _CHECK_SECONDS)
                if pending is None:
                    return group, True
                group.append(pending)
                size += len(pending.lines)
        except queue.Empty:
            pass
        return group, False

    def _write(self, group: list[_PendingCommit]) -> None:
        problem: Exception | None = None
        try:
            self._writer.write(b"".join(pending.lines for pending in group))
            self._failed_at = float("-inf")
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody may wait forever, or get a response
            self._failed_at, problem = time.monotonic(), error
            events.RequestFailed(error).emit()
        group[0].loop.call_soon_threadsafe(_resolve, group, problem)

    def _check_writer(self) -> None:
        try:
            self._problem = self._writer.problem()
        except OSError as error:
            self._problem = f"cannot be written ({error.strerror or type(error).__name__})"


def _resolve(group: list[_PendingCommit], problem: Exception | None) -> None:
    for pending in group:
        if pending.done.done():
            continue
        if problem is None:
            pending.done.set_result(None)
        else:
            pending.done.set_exception(problem)
