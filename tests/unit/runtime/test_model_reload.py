"""Laws of following: a model that is found takes over on the loop, and what cannot be served is told once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from runtime.metrics import read, render
from runtime.model_reload import ModelReloader, load_with_timeout
from schemas.errors import ArtifactError


class Shelf:
    """Where models are found, as a list of what each look brings; the last one is brought again and again."""

    def __init__(self, *found: str | Exception | None) -> None:
        self.found, self.taken, self.threads = list(found), [], set()
        self.looked = asyncio.Event()

    def find_update(self) -> Callable[[], str | None]:
        found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if len(self.found) == 1:
            self.looked.set()

        def look() -> str | None:
            self.threads.add(threading.current_thread())
            if isinstance(found, Exception):
                raise found
            return found

        return look

    def swap(self, model: str) -> object:
        self.taken.append((model, threading.current_thread()))
        return Loaded(model)


class Loaded:
    """The facts of a model."""

    def __init__(self, name: str) -> None:
        self.name, self.version, self.digest, self.engine = name, "1", "0" * 16, "linear"
        self.fallback_reason, self.watches_drift = None, True


def shown(name: str, /, **labels: str) -> float:
    """Return a metric's value."""
    (value,) = [each.value for each in read(render()[0].decode()) if (each.name, each.labels) == (name, labels)]
    return value


async def followed(shelf: Shelf) -> None:
    """Follow until the last of what is found has been looked at."""
    following = ModelReloader(shelf, 0.001)
    following.start()
    async with asyncio.timeout(30):
        await shelf.looked.wait()
    following.stop()


async def test_a_model_is_prepared_beside_the_loop_and_takes_over_on_it() -> None:
    """Looking may block, so it is done in threads; taking over is for the loop's thread alone."""
    shelf = Shelf(None, "second", None, None)
    before = shown("heartstream_model_changes_total", outcome="swapped")
    await followed(shelf)
    assert shelf.taken == [("second", threading.current_thread())]
    assert threading.current_thread() not in shelf.threads
    assert shown("heartstream_model_info", name="second", version="1", digest="0" * 16, engine="linear") == 1
    assert shown("heartstream_model_changes_total", outcome="swapped") == before + 1


@pytest.mark.parametrize("error", [ArtifactError("too short"), MemoryError()], ids=["refused", "any"])
async def test_a_refusal_is_told_once_and_shown_until_it_is_over(error: Exception) -> None:
    """However often it is looked at; whatever a candidate raises, following goes on."""
    before = shown("heartstream_model_changes_total", outcome="refused")
    await followed(Shelf(error, error, error, error))
    assert shown("heartstream_model_changes_total", outcome="refused") == before + 1
    assert shown("heartstream_model_refused") == 1
    shelf = Shelf(error, None, None, None)
    await followed(shelf)
    assert shown("heartstream_model_refused") == 0


def test_a_model_that_never_loads_is_refused_in_time() -> None:
    """Whatever it does meanwhile; and what loads in time, or fails in it, does so as if nobody waited."""
    stop = threading.Event()
    with pytest.raises(ArtifactError, match=r"did not load in 0\.05 seconds"):
        load_with_timeout(stop.wait, 0.05)
    stop.set()
    assert load_with_timeout(lambda: "model", 60) == "model"

    def fails() -> str:
        raise ArtifactError("changed")

    with pytest.raises(ArtifactError, match="changed"):
        load_with_timeout(fails, 60)


ENDLESS = """
from runtime.model_reload import load_with_timeout
def endless():
    while True:
        pass
load_with_timeout(endless, 0.5)
"""


def test_a_process_with_an_endless_model_ends() -> None:
    """The thread that still loads it holds nothing up."""
    ran = subprocess.run([sys.executable, "-c", ENDLESS], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, "did not load in 0.5 seconds" in ran.stderr) == (1, True)
