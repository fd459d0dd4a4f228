"""Periodic check for a new model, without interrupting serving."""

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

LOAD_TIMEOUT_SECONDS: Final = 120.0
"""The limit of `heartstream model check`, too. Loading takes a second or two."""
Model = TypeVar("Model")
Result = TypeVar("Result")


class Models(Protocol[Model]):
    """Finds model updates and applies them. Called on the loop."""

    def find_update(self) -> Callable[[], Model | None]:
        """Return a blocking function that returns a model ready to be used, or None, or raises ArtifactError."""
        ...

    def swap(self, model: Model) -> object:
        """Replace the model in use; returns an object with the fields of `events.ModelLoaded`."""
        ...


class ModelReloader(Generic[Model]):
    """Checks for a new model every `seconds`, in a daemon thread."""

    def __init__(self, models: Models[Model], seconds: float) -> None:
        self._models = models
        self._seconds = seconds
        self._refused: str | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start; called once, on the loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                model = await _in_thread(self._models.find_update())
            except ArtifactError as error:
                self._refuse(str(error))
            except Exception as error:  # noqa: BLE001  # a bad candidate must not stop the process
                self._refuse(f"{type(error).__name__}: {error}")
            else:
                self._take(model)

    def _refuse(self, reason: str) -> None:
        """Emit each reason once."""
        if reason != self._refused:
            self._refused = reason
            events.ModelRefused(reason).emit()

    def _take(self, model: Model | None) -> None:
        if model is not None:
            events.ModelSwapped().emit()
            emit_model_loaded(self._models.swap(model))
        elif self._refused is not None:
            events.ModelRefusalEnded().emit()
        self._refused = None


def emit_model_loaded(facts: object) -> None:
    """Emit that a model is in use; `facts` has the fields of `events.ModelLoaded`."""
    msgspec.convert(facts, events.ModelLoaded, from_attributes=True).emit()


def emit_model_withdrawn(facts: object, reason: str) -> None:
    """Emit that a model was withdrawn, and which one is in use again."""
    events.ModelWithdrawn(reason).emit()
    emit_model_loaded(facts)


def load_with_timeout(load: Callable[[], Result], seconds: float = LOAD_TIMEOUT_SECONDS) -> Result:
    """Return what `load` returns, or raise what it raises; ArtifactError where that takes longer than `seconds`.

    A model can be crafted to load forever, and a process that is starting would never report it. The abandoned thread
    ends with the process.
    """
    loaded: Future[Result] = Future()

    def run() -> None:
        try:
            loaded.set_result(load())
        except BaseException as error:  # noqa: BLE001  # it is raised for the caller
            loaded.set_exception(error)

    threading.Thread(target=run, name="model-load", daemon=True).start()
    if not wait([loaded], seconds).done:
        raise ArtifactError(f"the model did not load in {seconds:g} seconds")
    return loaded.result()


async def _in_thread(call: Callable[[], Result]) -> Result:
    """Run a call in a daemon thread: a slow child process must not delay the exit of this one."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def answer(settle: Callable[[], None]) -> None:
        # The loop may be closed by now, and the waiting task cancelled.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: None if future.done() else settle())

    def run() -> None:
        try:
            result = call()
        except Exception as error:  # noqa: BLE001  # it is raised in the waiting task
            failure = error
            answer(lambda: future.set_exception(failure))
        else:
            answer(lambda: future.set_result(result))

    threading.Thread(target=run, name="model-candidate", daemon=True).start()
    return await future
