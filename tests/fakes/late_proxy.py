"""Proxies that lose connections in the middle of a commit. The lost request arrives late or never."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections import Counter
from collections.abc import Callable
from typing import Final

from tests.fakes.kafka_requests import (
    ADD_OFFSETS_TO_TXN,
    END_TXN,
    OFFSET_COMMIT,
    TXN_OFFSET_COMMIT,
    Request,
    error_of,
    of_generation_before,
    parse,
    read_message,
)
from tests.fakes.tcp_proxy import Link, Proxy, reset

Choice = Callable[[Request], bool]
_AWAITED: Final = {
    END_TXN: (ADD_OFFSETS_TO_TXN,),
    TXN_OFFSET_COMMIT: (ADD_OFFSETS_TO_TXN, END_TXN),
    OFFSET_COMMIT: (OFFSET_COMMIT, OFFSET_COMMIT),
}
"""A late request arrives before the last of these from its owner, where it does the most harm."""


class Often:
    """Picks requests of some kinds at random, each with its probability."""

    def __init__(self, seed: int, **chances: float) -> None:
        self._random, self._chances = random.Random(seed), chances  # noqa: S311  # for variety, not for secrets

    def __call__(self, request: Request) -> bool:
        return self._random.random() < self._chances.get(request.name, 0)


class CommitProxy(Proxy):
    """Forwards whole messages, and intercepts each request by which a client commits.

    On a broken connection, responses are dropped.
    """

    def __init__(self, interface: Proxy) -> None:
        """Replace `interface`, which must have vanished."""
        super().__init__(interface.port, interface.target)

    async def pass_on(self, request: Request, link: Link) -> bytes | None:
        """Return the request to forward; None breaks the connection."""
        raise NotImplementedError

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
        asks = writer.get_extra_info("peername")[1] == self.target
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await read_message(reader)
                request = parse(message) if asks else None
                passed = message if request is None else await self.pass_on(request, link)
                if passed is None:
                    return
                if link.broken and not asks:
                    continue
                writer.write(struct.pack(">i", len(passed)) + passed)
                await writer.drain()


class LateProxy(CommitProxy):
    """Loses each request that `chooses` picks, with its connection, and the client retries it.

    The lost copy arrives over another connection in the next transaction of the same transactional id or, for a
    consumer's offsets, after newer ones. `answers` counts its error codes, 0 being none; then `listeners` are called
    with it, and the client's request is forwarded. The TxnOffsetCommits that `ages` picks arrive with the generation
    before the group's, as if it had just rebalanced: they are refused.
    """

    def __init__(self, interface: Proxy, chooses: Choice, ages: Choice = lambda _request: False) -> None:
        super().__init__(interface)
        self._chooses = chooses
        self._ages = ages
        self._lost: dict[bytes, tuple[Request, list[int]]] = {}
        self.listeners: list[Callable[[Request], None]] = []
        self.answers: Counter[tuple[str, int]] = Counter()

    async def pass_on(self, request: Request, link: Link) -> bytes | None:  # noqa: ARG002  # as in the base class
        """Deliver the requests that are due; then lose this request, or age it."""
        late, awaited = self._lost.get(request.owner, (None, []))
        if late is not None:
            if request.kind == awaited[0]:
                awaited.pop(0)
            if not awaited:
                del self._lost[request.owner]
                await self._deliver(late)
        elif request.kind in _AWAITED and self._chooses(request):
            self._lost[request.owner] = request, list(_AWAITED[request.kind])
            return None
        elif request.kind == TXN_OFFSET_COMMIT and self._ages(request):
            return of_generation_before(request.message)
        return request.message

    async def _deliver(self, late: Request) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        writer.write(struct.pack(">i", len(late.message)) + late.message)
        self.answers[late.name, error_of(late, await read_message(reader))] += 1
        reset(writer)
        for listener in self.listeners:
            await asyncio.to_thread(listener, late)


class CatchingProxy(CommitProxy):
    """Drops the response to one commit of each awaited owner, so that the broker can be stopped in its middle."""

    def __init__(self, interface: Proxy) -> None:
        super().__init__(interface)
        self._awaited: set[bytes] = set()

    def catch(self, owner: str) -> None:
        """Await a commit of an owner whose name begins with this."""
        self._awaited.add(owner.encode())

    def has_caught(self, owner: str) -> bool:
        """Whether it has come."""
        return owner.encode() not in self._awaited

    async def pass_on(self, request: Request, link: Link) -> bytes | None:
        """Forward the request, and break the connection if it is awaited."""
        awaited = next((owner for owner in self._awaited if request.owner.startswith(owner)), None)
        if awaited is not None and request.kind in {END_TXN, OFFSET_COMMIT}:
            link.broken = True
            self._awaited.discard(awaited)
        return request.message
