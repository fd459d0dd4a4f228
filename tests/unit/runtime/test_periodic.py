"""Laws of periodic calls."""

from __future__ import annotations

import asyncio

from runtime.periodic import PeriodicCall


async def test_calls_repeat_until_stopped() -> None:
    """The call repeats; after `stop` it is not made any more."""
    calls, enough = [0], asyncio.Event()

    def call() -> None:
        calls[0] += 1
        if calls[0] == 3:
            periodic.stop()
            enough.set()

    periodic = PeriodicCall(call, 0.001)
    periodic.start()
    async with asyncio.timeout(30):
        await enough.wait()
        other = asyncio.Event()
        asyncio.get_running_loop().call_later(0.05, other.set)
        await other.wait()
    assert calls == [3]


async def test_calls_continue_after_a_failure() -> None:
    """A call that raises is repeated all the same, and the loop's exception handler gets the error."""
    called, errors = asyncio.Event(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context["exception"]))

    def call() -> None:
        if not errors:
            raise ZeroDivisionError
        called.set()

    periodic = PeriodicCall(call, 0.001)
    periodic.start()
    async with asyncio.timeout(30):
        await called.wait()
    periodic.stop()
    assert [type(error) for error in errors] == [ZeroDivisionError]
