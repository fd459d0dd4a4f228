"""The gateway's server, without the process around it."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from aiohttp import web

from api.server import GatewayRunner, close_listener
from runtime.ports import free_port

_CLIENTS = 3
_REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def rare_collections() -> Iterator[None]:
    """As in a serving process: garbage collection does not close a connection by chance."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("rare_collections")
def test_a_connection_accepted_while_the_listener_closes_is_served() -> None:
    """The client does not wait for an answer until the process ends."""
    answers = asyncio.run(_answers_of_connections_accepted_at_the_end())
    assert [answer.partition(b"\r\n")[0] for answer in answers] == [b"HTTP/1.1 200 OK"] * _CLIENTS


async def _answers_of_connections_accepted_at_the_end() -> list[bytes]:
    application = web.Application()
    application.router.add_get("/", _empty)
    runner = GatewayRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port := free_port())
    await site.start()
    with ExitStack() as stack:
        clients = [stack.enter_context(closing(socket.create_connection(("127.0.0.1", port)))) for _ in range(_CLIENTS)]
        # One turn to accept them; what asyncio does with them next comes after this coroutine's turn.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await close_listener(site)
        answers = await asyncio.gather(*(_answer(client) for client in clients))
    await runner.cleanup()
    return answers


async def _empty(_request: web.Request) -> web.Response:
    return web.Response()


async def _answer(client: socket.socket) -> bytes:
    """Send a request and return the start of its answer; raises TimeoutError without one."""
    loop = asyncio.get_running_loop()
    client.setblocking(False)
    await loop.sock_sendall(client, _REQUEST)
    async with asyncio.timeout(10):
        return await loop.sock_recv(client, 65_536)
