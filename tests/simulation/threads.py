"""Fakes of `threading`, `time` and the event loop, for the product in a simulation."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import Any

from tests.simulation.cluster import Cluster
from tests.simulation.scheduler import RESOLUTION, Process, Scheduler, SimulatedThread


class World:
    """The current simulation's scheduler and cluster, for which the product's modules are patched once."""

    scheduler: Scheduler
    cluster: Cluster


class Condition:
    """Replaces `threading.Condition`. Threads yield only here, so no lock is needed."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[SimulatedThread] = []

    def __enter__(self) -> None:
        World.scheduler.preempt()

    def __exit__(self, *_: object) -> None:
        pass

    def notify_all(self) -> None:
        if self._waiting:
            woken, self._waiting = self._waiting, []
            for thread in woken:
                World.scheduler.wake(thread)

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        scheduler = World.scheduler
        deadline = None if timeout is None else scheduler.now + timeout
        while not predicate():
            left = None if deadline is None else deadline - scheduler.now
            if left is not None and left <= RESOLUTION:
                return False
            if scheduler.current is not None:
                self._waiting.append(scheduler.current)
            scheduler.block(left)
        return True


class Event:
    """Replaces `threading.Event`."""

    __slots__ = ("_changed", "_is_set")

    def __init__(self) -> None:
        self._changed = Condition()
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True
        self._changed.notify_all()

    def clear(self) -> None:
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        return self._changed.wait_for(self.is_set, timeout)


class Thread:
    """Replaces `threading.Thread`."""

    def __init__(
        self,
        target: Callable[..., object] | None = None,
        args: Sequence[Any] = (),
        name: str = "",
        daemon: bool | None = None,  # noqa: FBT001
    ) -> None:
        self._target, self._args, self.name, self.daemon = target, args, name, daemon
        self._thread: SimulatedThread | None = None
        self._ended = Event()

    def run(self) -> None:
        if self._target is not None:
            self._target(*self._args)

    def start(self) -> None:
        scheduler = World.scheduler

        def run() -> None:
            self.run()
            self._ended.set()

        self._thread = scheduler.spawn(scheduler.process(), run)

    def join(self, timeout: float | None = None) -> None:
        self._ended.wait(timeout)

    def is_alive(self) -> bool:
        return self._thread is not None and not self._ended.is_set()


class Threading:
    """Replaces the module `threading`."""

    Condition, Event, Thread = Condition, Event, Thread


class Time:
    """Replaces the module `time`."""

    @staticmethod
    def monotonic() -> float:
        return World.scheduler.now

    time = perf_counter = monotonic

    @staticmethod
    def sleep(seconds: float) -> None:
        Event().wait(seconds)


class _Handle(asyncio.Handle):
    """A callback of the loop, created in fewer steps, without the data that only a loop in debug mode needs."""

    __slots__ = ()

    def __init__(self, callback: Callable[..., object], args: Sequence[Any], loop: VirtualLoop, context: Any) -> None:
        self._callback, self._args, self._loop = callback, args, loop
        self._context = copy_context() if context is None else context
        self._cancelled, self._source_traceback = False, None


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop in virtual time, in a simulated thread of its own."""

    def __init__(self, process: Process) -> None:
        super().__init__()
        self._scheduler = process.scheduler
        self.process = process
        self.set_exception_handler(lambda _loop, _context: None)
        self.thread = process.scheduler.spawn(process, self._main)
        self.thread.loop = self

    @staticmethod
    def running() -> VirtualLoop:
        """Return the loop of the running thread."""
        loop = asyncio.get_running_loop()
        if not isinstance(loop, VirtualLoop):
            raise TypeError("it runs outside of a simulation")
        return loop

    def time(self) -> float:
        return self._scheduler.now

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Any = None) -> asyncio.Handle:
        if self._closed:
            raise RuntimeError("the event loop is closed")
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any, context: Any = None) -> asyncio.Handle:
        handle = self.call_soon(callback, *args, context=context)
        self._scheduler.wake(self.thread)
        return handle

    def run_in_executor(self, _executor: object, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        done: asyncio.Future[Any] = self.create_future()

        def end(result: Any, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        def run() -> None:
            result, failure = None, None
            try:
                result = function(*args)
            except Exception as error:  # noqa: BLE001  # the waiting future gets it
                failure = error
            self.call_soon_threadsafe(end, result, failure)

        self._scheduler.spawn(self.process, run)
        return done

    def _main(self) -> None:
        ready, timers = self._ready, self._scheduled  # type: ignore[attr-defined]
        while not self._closed:  # type: ignore[attr-defined]
            due = self._scheduler.now + RESOLUTION
            while timers and (timers[0]._cancelled or timers[0]._when <= due):
                timer = heapq.heappop(timers)
                timer._scheduled = False
                if not timer._cancelled:
                    ready.append(timer)
            for _ in range(len(ready)):
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
            if not ready:
                self._scheduler.block(timers[0]._when - self._scheduler.now if timers else None)

    def _timer_handle_cancelled(self, _handle: object) -> None:
        pass

    def end(self) -> None:
        """Close the loop, with all pending callbacks."""
        self._closed = True
        self._ready.clear()  # type: ignore[attr-defined]
        self._scheduled.clear()  # type: ignore[attr-defined]

    def __del__(self) -> None:
        pass
