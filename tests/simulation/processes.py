"""Runs tasks in parallel, each in a process of its own.

A simulation has many reference cycles, and threads that never end. Collecting them took a seventh of the time, so they
are left to the end of the process.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Final, TypeVar

PROCESSES: Final = 2
_FORK: Final = get_context("fork")
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def results(work: Callable[[_Task], _Result], tasks: Iterable[_Task]) -> Iterator[_Result]:
    """Run the tasks; yield each result as it arrives. Raises RuntimeError if a process exits without a result."""
    left, running = iter(tasks), dict[Connection, ForkProcess]()
    while True:
        for task in islice(left, PROCESSES - len(running)):
            receiver, sender = _FORK.Pipe(duplex=False)
            running[receiver] = process = _FORK.Process(target=_do, args=(work, task, sender), daemon=True)
            process.start()
            sender.close()
        if not running:
            return
        ready = wait(running)
        for receiver in [each for each in running if each in ready]:
            yield _result_of(receiver, running.pop(receiver))


def _do(work: Callable[[_Task], _Result], task: _Task, sender: Connection) -> None:
    gc.disable()
    sender.send(work(task))


def _result_of(receiver: Connection, process: ForkProcess) -> Any:
    with receiver:
        try:
            result = receiver.recv()
        except EOFError:
            process.join()
            raise RuntimeError(f"a process of the simulation ended with exit code {process.exitcode}") from None
    process.join()
    return result
