"""Concurrent runs act on their shared broker together, once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults.plan_run import Together


def test_all_act_once_each_time() -> None:
    """Three runs that act five times together act five times in all, and none continues earlier."""
    together, acts = Together(3), list[int]()

    def run() -> list[int]:
        seen = []
        for _ in range(5):
            together.do(lambda: acts.append(1))
            seen.append(len(acts))
        return seen

    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(run) for _ in range(3)]
        seen = [done.result(30) for done in runs]
    assert (len(acts), [views[-1] for views in seen]) == (5, [5, 5, 5])


def test_nobody_waits_for_a_run_that_left() -> None:
    """A run that fails releases the others that wait."""
    together, acted = Together(2), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(together.do, acted.set)
        together.leave()
        waiting.result(30)
    assert acted.is_set()


def test_a_failed_act_does_not_block_the_next() -> None:
    """The run that acts gets the error, and the next action is performed."""
    together, acts = Together(1), list[int]()
    with pytest.raises(ZeroDivisionError):
        together.do(lambda: acts.append(1 // 0))
    together.do(lambda: acts.append(1))
    assert acts == [1]
