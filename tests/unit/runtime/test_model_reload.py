"""Laws of model reloading: an update is swapped in on the event loop, and a refused one is logged once."""

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


class ModelSource:
    """A source of updates, scripted as the outcome of each check; the last one repeats."""

    def __init__(self, *found: str | Exception | None) -> None:
        self.found, self.taken, self.threads = list(found), [], set()
        self.exhausted = asyncio.Event()

    def find_update(self) -> Callable[[], str | None]:
        found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if len(self.found) == 1:
            self.exhausted.set()

        def load() -> str | None:
            self.threads.add(threading.current_thread())
            if isinstance(found, Exception):
                raise found
            return found

        return load

    def swap(self, model: str) -> object:
        self.taken.append((model, threading.current_thread()))
        return LoadedModel(model)


class LoadedModel:
    """The attributes of a model that a swap reports."""

    def __init__(self, name: str) -> None:
        self.name, self.version, self.digest, self.engine = name, "1", "0" * 16, "linear"
        self.fallback_reason, self.watches_drift, self.native_reason = None, True, "it is turned off"


def shown(name: str, /, **labels: str) -> float:
    """Return a metric's value."""
    (value,) = [each.value for each in read(render()[0].decode()) if (each.name, each.labels) == (name, labels)]
    return value


async def reload_until_exhausted(source: ModelSource) -> None:
    """Reload until the last scripted outcome has been looked up."""
    reloader = ModelReloader(source, 0.001)
    reloader.start()
    async with asyncio.timeout(30):
        await source.exhausted.wait()
    reloader.stop()


async def test_a_model_is_loaded_in_a_thread_and_swapped_in_on_the_loop() -> None:
    """Loading may block, so it runs in threads; the swap happens on the event loop's thread only."""
    source = ModelSource(None, "second", None, None)
    before = shown("heartstream_model_changes_total", outcome="swapped")
    await reload_until_exhausted(source)
    assert source.taken == [("second", threading.current_thread())]
    assert threading.current_thread() not in source.threads
    labels = {"name": "second", "version": "1", "digest": "0" * 16, "engine": "linear", "core": "python"}
    assert shown("heartstream_model_info", **labels) == 1
    assert shown("heartstream_model_changes_total", outcome="swapped") == before + 1


@pytest.mark.parametrize("error", [ArtifactError("too short"), MemoryError()], ids=["refused", "any"])
async def test_a_refusal_is_counted_once_and_shown_until_it_is_over(error: Exception) -> None:
    """A model that is refused at each check counts once; reloading continues, whatever error a candidate raises."""
    before = shown("heartstream_model_changes_total", outcome="refused")
    await reload_until_exhausted(ModelSource(error, error, error, error))
    assert shown("heartstream_model_changes_total", outcome="refused") == before + 1
    assert shown("heartstream_model_refused") == 1
    source = ModelSource(error, None, None, None)
    await reload_until_exhausted(source)
    assert shown("heartstream_model_refused") == 0


def test_a_model_that_never_loads_is_refused_after_the_timeout() -> None:
    """A load that does not end is refused; one that ends in time returns its model or raises its own error."""
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


def test_a_load_that_never_ends_does_not_keep_the_process_alive() -> None:
    """The thread that is still loading does not delay the exit."""
    ran = subprocess.run([sys.executable, "-c", ENDLESS], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, "did not load in 0.5 seconds" in ran.stderr) == (1, True)
