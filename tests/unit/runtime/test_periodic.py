"""Laws of what is done again and again."""

from __future__ import annotations

import asyncio

from runtime.periodic import PeriodicCall


async def test_it_is_done_until_it_is_stopped() -> None:
    """It comes again and again; after `stop` it does not come any more."""
    came, enough = [0], asyncio.Event()

    def call() -> None:
        came[0] += 1
        if came[0] == 3:
            beat.stop()
            enough.set()

    beat = PeriodicCall(call, 0.001)
    beat.start()
    async with asyncio.timeout(30):
        await enough.wait()
        other = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, other.set)
        await other.wait()
    assert came == [3]


async def test_it_goes_on_after_a_failure() -> None:
    """What fails once is done again all the same, and the loop hears of the failure."""
    came, heard = asyncio.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context["exception"]))

    def call() -> None:
        if not heard:
            raise ZeroDivisionError
        came.set()

    beat = PeriodicCall(call, 0.001)
    beat.start()
    async with asyncio.timeout(30):
        await came.wait()
    beat.stop()
    assert [type(error) for error in heard] == [ZeroDivisionError]
