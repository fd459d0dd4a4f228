"""Runs simulated threads in one thread: virtual time, greenlets, and a seed that decides which thread runs next.

A simulated thread yields where it blocks, and at random where the product takes a lock. Time stands still while any
thread can run, and then jumps to the next timer.
"""

from __future__ import annotations

import heapq
import random
from asyncio import events
from collections.abc import Callable
from typing import Any, Final

from greenlet import GreenletExit, getcurrent, greenlet

_EPOCH: Final = 1_000.0
RESOLUTION: Final = 1e-9
"""The clock's resolution in seconds: a shorter wait ends at once, as adding it to the time might be lost."""
_LONGEST_HOLD: Final = 0.4


class Timer:
    """A callback at a point of virtual time. It is cancelled when its process, if any, dies."""

    __slots__ = ("function", "process", "when")

    def __init__(self, when: float, function: Callable[[], object] | None, process: Process | None) -> None:
        self.when, self.function, self.process = when, function, process

    def cancel(self) -> None:
        """Cancel the callback."""
        self.function = None


class Process:
    """The threads, clients and timers of one worker, which die together. While suspended, none of them runs."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.scheduler, self.name = scheduler, name
        self.is_dead = False
        self.suspended_to = 0.0
        self.hold: Callable[[], float] | None = None
        """Returns how long its event loop stops when it takes a lock."""

    def later(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Call a function in the background of this process, unless it has died by then."""
        return self.scheduler.later(seconds, function, self)


class SimulatedThread:
    """The work of a greenlet for a process. `loop` is the event loop that it runs, if any."""

    __slots__ = ("function", "greenlet", "is_done", "is_woken", "loop", "process", "timer", "waits")

    def __init__(self, process: Process, function: Callable[[], object]) -> None:
        self.process, self.function = process, function
        self.greenlet: greenlet | None = None
        self.loop: Any = None
        self.timer: Timer | None = None
        self.waits = self.is_woken = self.is_done = False


class Scheduler:
    """Runs simulated threads and timers, one at a time."""

    def __init__(self, rng: random.Random, preempt_share: float = 0.0, hold_share: float = 0.0) -> None:
        """`preempt_share` is how often a thread yields when it takes a lock, `hold_share` how often for longer."""
        self.rng, self._preempt_share, self._hold_share = rng, preempt_share, hold_share
        self._random = rng.random
        self.begin = self.now = _EPOCH
        self.steps = 0
        self.current: SimulatedThread | None = None
        self._loop: Any = None
        """The running event loop."""
        self._hub = getcurrent()
        self._idle: list[greenlet] = []
        """Greenlets whose thread has ended."""
        self._timers: list[tuple[float, int, Timer]] = []
        self._runnable: list[SimulatedThread] = []
        self._number = 0

    def next_number(self) -> int:
        """Return a number that is unique in this simulation."""
        self._number += 1
        return self._number

    def later(self, seconds: float, function: Callable[[], object], process: Process | None = None) -> Timer:
        """Call a function after this many seconds of virtual time, unless its process has died by then."""
        self._number = number = self._number + 1
        when = self.now + seconds
        timer = Timer(when, function, process)
        heapq.heappush(self._timers, (when, number, timer))
        return timer

    def spawn(self, process: Process, function: Callable[[], object]) -> SimulatedThread:
        """Start a thread."""
        self._number += 1
        thread = SimulatedThread(process, function)
        self._runnable.append(thread)
        return thread

    def _serve(self, thread: SimulatedThread) -> None:
        """Run one thread after the other: most are short, and a new greenlet costs more than their work."""
        while True:
            try:
                thread.function()
            finally:
                thread.is_done = True
            self._idle.append(getcurrent())
            thread = self._hub.switch()

    def process(self) -> Process:
        """Return the process of the running thread."""
        if self.current is None:
            raise AssertionError("no thread runs")
        return self.current.process

    def block(self, timeout: float | None = None) -> bool:
        """Let others run until this thread is woken; return False after `timeout` seconds."""
        thread = self.current
        if thread is None:
            raise AssertionError("only a thread can block")
        if thread.process.is_dead:
            raise GreenletExit
        if timeout is not None:
            thread.timer = self.later(max(timeout, 0.0), lambda: self._resume(thread, is_woken=False))
        thread.waits = True
        self._hub.switch()
        if thread.process.is_dead:
            raise GreenletExit
        return thread.is_woken

    def wake(self, thread: SimulatedThread) -> None:
        """Resume a waiting thread; a thread that does not wait is unaffected."""
        if thread.waits:
            self._resume(thread, is_woken=True)

    def preempt(self) -> None:
        """Yield now and then, and rarely for longer, so that other threads run in between."""
        thread = self.current
        if thread is None:
            return
        if thread.loop is not None and thread.process.hold is not None and (seconds := thread.process.hold()):
            self._hold(seconds)
        elif self._random() < self._preempt_share:
            self._hold(self._random() * _LONGEST_HOLD if self._random() < self._hold_share else 0.0)

    def _hold(self, seconds: float) -> None:
        """Let others run for this time, even if this thread is woken."""
        deadline = self.now + seconds
        self.block(seconds)
        while deadline - self.now > RESOLUTION:
            self.block(deadline - self.now)

    def _resume(self, thread: SimulatedThread, *, is_woken: bool) -> None:
        if not thread.waits:
            return
        thread.waits, thread.is_woken = False, is_woken
        if thread.timer is not None:
            thread.timer.cancel()
            thread.timer = None
        self._runnable.append(thread)

    def step(self) -> bool:
        """Run a thread until it yields, or the next timer; return False if nothing is left to do."""
        self.steps += 1
        runnable = self._runnable
        if not runnable:
            return self._tick()
        thread = runnable.pop()
        if runnable and (place := int(self._random() * (len(runnable) + 1))) < len(runnable):
            thread, runnable[place] = runnable[place], thread
        process = thread.process
        if process.is_dead:
            return True
        if process.suspended_to > self.now:
            self.later(process.suspended_to - self.now, lambda: runnable.append(thread))
            return True
        self._switch_to(thread)
        return True

    def _switch_to(self, thread: SimulatedThread) -> None:
        self.current = thread
        if thread.loop is not self._loop:
            self._loop = thread.loop
            events._set_running_loop(thread.loop)  # only on a change, as it calls getpid
        try:
            if thread.greenlet is None:
                thread.greenlet = self._idle.pop() if self._idle else greenlet(self._serve, self._hub)
                thread.greenlet.switch(thread)
            else:
                thread.greenlet.switch()
        finally:
            self.current = None

    def _tick(self) -> bool:
        timers = self._timers
        while timers:
            timer = heapq.heappop(timers)[2]
            function, process = timer.function, timer.process
            if function is None:
                continue
            self.now = now = max(self.now, timer.when)
            if process is None:
                function()
            elif not process.is_dead:
                held = process.suspended_to - now
                if held > 0:
                    timer.when = now + held
                    heapq.heappush(timers, (timer.when, self.next_number(), timer))
                else:
                    function()
            return True
        return False

    def close(self) -> None:
        """Leave no event loop registered as running."""
        events._set_running_loop(None)
