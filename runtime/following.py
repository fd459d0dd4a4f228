"""Looking again and again whether another model is to be served, without holding up who serves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from runtime import events
from schemas.errors import ArtifactError

LOAD_SECONDS: Final = 120.0
"""As long as `heartstream model check` waits. Loading takes a second or two."""
Model = TypeVar("Model")
Result = TypeVar("Result")


class Models(Protocol[Model]):
    """Where other models come from, and where they go. Called on the loop."""

    def find_update(self) -> Callable[[], Model | None]:
        """Return what looks, and may block: it returns a model ready to take over, or None, or raises ArtifactError."""
        ...

    def swap(self, model: Model) -> object:
        """Let a model take over; returns an object with the fields of `events.ModelLoaded`."""
        ...


class Following(Generic[Model]):
    """Looks every so many seconds, in a thread that the end of the process does not wait for."""

    def __init__(self, models: Models[Model], seconds: float) -> None:
        self._models = models
        self._seconds = seconds
        self._refused: str | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; called once, on the loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                model = await _in_thread(self._models.find_update())
            except ArtifactError as error:
                self._refuse(str(error))
            except Exception as error:  # noqa: BLE001  # a candidate must not end what serves well without it
                self._refuse(f"{type(error).__name__}: {error}")
            else:
                self._take(model)

    def _refuse(self, reason: str) -> None:
        """Tell it once."""
        if reason != self._refused:
            self._refused = reason
            events.ModelRefused(reason).emit()

    def _take(self, model: Model | None) -> None:
        if model is not None:
            events.ModelSwapped().emit()
            tell_loaded(self._models.swap(model))
        elif self._refused is not None:
            events.ModelAgreed().emit()
        self._refused = None


def tell_loaded(facts: object) -> None:
    """Tell of a model that comes into use; `facts` has the fields of `events.ModelLoaded`."""
    msgspec.convert(facts, events.ModelLoaded, from_attributes=True).emit()


def tell_withdrawn(facts: object, reason: str) -> None:
    """Tell that a model had to go, and of the one that is in use again."""
    events.ModelWithdrawn(reason).emit()
    tell_loaded(facts)


def load_in_time(load: Callable[[], Result], seconds: float = LOAD_SECONDS) -> Result:
    """Return what `load` returns, or raise what it raises; ArtifactError where that takes longer than `seconds`.

    A model may be made never to answer, and a process that only starts would say nothing for ever. The thread that is
    left behind ends with the process.
    """
    loaded: Future[Result] = Future()

    def run() -> None:
        try:
            loaded.set_result(load())
        except BaseException as error:  # noqa: BLE001  # it is raised where the result is wanted
            loaded.set_exception(error)

    threading.Thread(target=run, name="model-load", daemon=True).start()
    if not wait([loaded], seconds).done:
        raise ArtifactError(f"the model did not load in {seconds:g} seconds")
    return loaded.result()


async def _in_thread(call: Callable[[], Result]) -> Result:
    """Run a call in a daemon thread: a child process that takes its time must not hold up the end of this one."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def answer(settle: Callable[[], None]) -> None:
        # The loop may be closed by now, and who waited may be gone.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if future.done() else settle())

    def run() -> None:
        try:
            result = call()
        except Exception as error:  # noqa: BLE001  # it is raised where the result is awaited
            failure = error
            answer(lambda: future.set_exception(failure))
        else:
            answer(lambda: future.set_result(result))

    threading.Thread(target=run, name="model-candidate", daemon=True).start()
    return await future
