"""One thread that runs many: virtual time, simulated threads as greenlets, and a seed that decides who goes on.

A simulated thread gives way where it blocks, and at random where the product takes a lock. Time stands still while any
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
"""Of the clock, in seconds: a shorter wait is over, as it might be lost in the sum with the present."""
_LONGEST_HOLD: Final = 0.4


class Timer:
    """Something that is due at a point of virtual time."""

    __slots__ = ("function", "number", "when")

    def __init__(self, when: float, number: int, function: Callable[[], object] | None) -> None:
        self.when, self.number, self.function = when, number, function

    def cancel(self) -> None:
        """Let it never come."""
        self.function = None


class Process:
    """What dies together: threads, clients and timers of one worker. A suspended one does nothing until it resumes."""

    def __init__(self, scheduler: Scheduler, name: str) -> None:
        self.scheduler, self.name = scheduler, name
        self.is_dead = False
        self.suspended_to = 0.0
        self.hold: Callable[[], float] | None = None
        """Says for how long its event loop stops where it takes a lock."""

    def later(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Call a function in the background of this process, unless it is dead by then."""
        return self.scheduler.later(seconds, lambda: self._run(function))

    def _run(self, function: Callable[[], object]) -> None:
        if self.is_dead:
            return
        held = self.suspended_to - self.scheduler.now
        if held > 0:
            self.scheduler.later(held, lambda: self._run(function))
        else:
            function()


class SimulatedThread:
    """A greenlet of a process. `loop` is the event loop that it runs, if it runs one."""

    __slots__ = ("greenlet", "is_done", "is_woken", "loop", "number", "process", "timer", "waits")

    def __init__(self, process: Process, run: Callable[[], object], number: int, hub: greenlet) -> None:
        self.process, self.number = process, number
        self.greenlet = greenlet(run, hub)
        self.loop: Any = None
        self.timer: Timer | None = None
        self.waits = self.is_woken = self.is_done = False


class Scheduler:
    """Runs simulated threads and timers, one at a time."""

    def __init__(self, rng: random.Random, preempt_share: float = 0.0, hold_share: float = 0.0) -> None:
        """`preempt_share` is how often a thread gives way where it takes a lock, `hold_share` how often for longer."""
        self.rng, self._preempt_share, self._hold_share = rng, preempt_share, hold_share
        self.begin = self.now = _EPOCH
        self.steps = 0
        self.current: SimulatedThread | None = None
        self._hub = getcurrent()
        self._timers: list[tuple[float, int, Timer]] = []
        self._runnable: list[SimulatedThread] = []
        self._number = 0

    def next_number(self) -> int:
        """Return a number that nothing else in this simulation has."""
        self._number += 1
        return self._number

    def later(self, seconds: float, function: Callable[[], object]) -> Timer:
        """Call a function after so many seconds of virtual time."""
        timer = Timer(self.now + seconds, self.next_number(), function)
        heapq.heappush(self._timers, (timer.when, timer.number, timer))
        return timer

    def spawn(self, process: Process, function: Callable[[], object]) -> SimulatedThread:
        """Start a thread."""

        def run() -> None:
            try:
                function()
            finally:
                thread.is_done = True

        thread = SimulatedThread(process, run, self.next_number(), self._hub)
        self._runnable.append(thread)
        return thread

    def process(self) -> Process:
        """Return the process of the running thread."""
        if self.current is None:
            raise AssertionError("no thread runs")
        return self.current.process

    def block(self, timeout: float | None = None) -> bool:
        """Let others go on until this thread is woken; False after `timeout` seconds."""
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
        """Let a thread go on that waits; one that does not is left alone."""
        if thread.waits:
            self._resume(thread, is_woken=True)

    def preempt(self) -> None:
        """Give way, now and then, and rarely for longer: what other threads do comes in between."""
        thread = self.current
        if thread is None:
            return
        if thread.loop is not None and thread.process.hold is not None and (seconds := thread.process.hold()):
            self._hold(seconds)
        elif self.rng.random() < self._preempt_share:
            self._hold(self.rng.random() * _LONGEST_HOLD if self.rng.random() < self._hold_share else 0.0)

    def _hold(self, seconds: float) -> None:
        """Let others go on for so long, whoever wakes this thread meanwhile."""
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
        """Run a thread until it gives way, or the next timer; False if there is nothing to do any more."""
        self.steps += 1
        runnable = self._runnable
        if not runnable:
            return self._tick()
        place = int(self.rng.random() * len(runnable)) if len(runnable) > 1 else 0
        thread = runnable[place]
        runnable[place] = runnable[-1]
        runnable.pop()
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
        events._set_running_loop(thread.loop)
        try:
            thread.greenlet.switch()
        finally:
            events._set_running_loop(None)
            self.current = None

    def _tick(self) -> bool:
        while self._timers:
            timer = heapq.heappop(self._timers)[2]
            if timer.function is not None:
                self.now = max(self.now, timer.when)
                timer.function()
                return True
        return False
