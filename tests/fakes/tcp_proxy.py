"""A TCP proxy between workers and broker that can refuse, reset, slow down, swallow or hold traffic."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Coroutine
from enum import Enum
from typing import Any, Final, Self

_CHUNK_BYTES: Final = 16_384
_CALL_SECONDS: Final = 10.0


class Mode(Enum):
    """What happens to bytes, in both directions."""

    PASS = "pass"  # noqa: S105  # not a password
    SLOW = "slow"
    """Each chunk of at most 16 KiB is delayed: at 0.2 s, under 80 KB/s."""
    HOLD = "hold"
    """Bytes are held, and forwarded in order when the mode changes."""
    SWALLOW = "swallow"
    """Bytes are dropped and connections stay open. A connection that has lost bytes never works again."""


class Proxy:
    """Listens on `port` of loopback and connects each client to the port `target`, in a thread of its own.

    Methods may be called from any thread; each returns once the change is in force.
    """

    def __init__(self, port: int, target: int, delay_seconds: float = 0.2) -> None:
        self.port = port
        self.target = target
        self._delay = delay_seconds
        self._mode = Mode.PASS
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._moving = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        """Start listening."""
        self._thread.start()
        self._moving.set()
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        """Reset every connection and end the thread."""
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def set_mode(self, mode: Mode) -> None:
        """Change the mode of all connections."""
        self._call(self._set_mode(mode))

    def cut(self) -> None:
        """Reset every connection; new ones are accepted."""
        self._call(self._cut())

    def vanish(self) -> None:
        """Reset every connection and refuse new ones."""
        self._call(self._vanish())

    def come_back(self) -> None:
        """Accept connections again."""
        self._call(self._listen())

    def heal(self) -> None:
        """Restore a normal network, whatever the state."""
        self.come_back()
        self.set_mode(Mode.PASS)

    def connections(self) -> int:
        """Return the number of connected clients."""
        return len(self._writers) // 2

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_CALL_SECONDS)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _set_mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.HOLD:
            self._moving.clear()
        else:
            self._moving.set()

    async def _cut(self) -> None:
        for writer in self._writers:
            reset(writer)
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    async def _vanish(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _end(self) -> None:
        await self._vanish()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Connect a client to the target and forward bytes until either side ends."""
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            reset(writer)
            return
        link = Link()
        self._writers |= {writer, far_writer}
        pumps = [
            self._loop.create_task(self._pump(reader, far_writer, link)),
            self._loop.create_task(self._pump(far_reader, writer, link)),
        ]
        self._tasks.update(pumps)
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._writers -= {writer, far_writer}
            self._tasks.difference_update(pumps)
            for end in (writer, far_writer):
                reset(end)
            for pump in pumps:
                pump.cancel()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
        """Forward one direction of a connection."""
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                await self._moving.wait()
                link.broken = link.broken or self._mode is Mode.SWALLOW
                if link.broken:
                    continue
                if self._mode is Mode.SLOW:
                    await asyncio.sleep(self._delay)
                writer.write(data)
                await writer.drain()


class Link:
    """The state that both directions of a connection share."""

    broken = False
    """Whether bytes were dropped: any further bytes would be meaningless."""


def reset(writer: asyncio.StreamWriter) -> None:
    """Close at once with RST and without flushing, as when a process dies."""
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.transport.is_closing():
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()
