"""Micro-batching: the records of concurrent requests are scored together, by one call of the core."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from runtime import events
from schemas.codec import encode_scores
from scoring.batches import JsonBatch
from scoring.pipeline import Issues, Model, Results

INTERFACE: Final = "http"
Encoded = bytes | Issues
"""The outcome of one record: its score as JSON, or its issues."""
ScoredRecord = tuple[Encoded, Results, int]
"""The outcome of one record, the results of its batch, and its index there."""


_QUIET_ITERATIONS: Final = 2
"""A request is read in one iteration of the event loop and handled in the next."""
_MAX_RECORDS: Final = 64
_MAX_BYTES: Final = 65_536
"""Records crafted to be slow take 0.1 ms per kilobyte; what exceeds this is scored in the next iteration."""


class MicroBatch:
    """Collects records until an iteration of the event loop brings no more, and scores them together.

    There is no timer: a single request is scored some microseconds later, and under load a batch is what arrived while
    the previous one was scored and answered. Not safe to share between threads.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._waiting: list[tuple[bytes, asyncio.Future[ScoredRecord]]] = []
        self._seen = self._quiet = 0

    def score(self, body: bytes) -> asyncio.Future[ScoredRecord]:
        """Return a future of the outcome of one record, or of ArtifactError if the model is broken."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[ScoredRecord] = loop.create_future()
        if not self._waiting:
            self._seen = self._quiet = 0
            loop.call_soon(self._wait_or_flush, loop)
        self._waiting.append((body, future))
        return future

    def _wait_or_flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """Score the waiting records unless more may arrive; called once per iteration of the event loop."""
        count = len(self._waiting)
        self._quiet = self._quiet + 1 if count == self._seen else 0
        self._seen = count
        if self._quiet < _QUIET_ITERATIONS and count < _MAX_RECORDS:
            loop.call_soon(self._wait_or_flush, loop)
        else:
            self._flush(loop)

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._next_batch()
        self._waiting = self._waiting[len(waiting) :]
        if self._waiting:
            loop.call_soon(self._flush, loop)
        try:
            results, outcomes = self._score([body for body, _ in waiting])
        except Exception as error:  # noqa: BLE001  # each request reports it to its client, and to the log
            for _, future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for index, (_, future) in enumerate(waiting):
            if not future.done():
                future.set_result((outcomes[index], results, index))

    def _score(self, bodies: Sequence[bytes]) -> tuple[Results, Sequence[Encoded]]:
        started = time.perf_counter()
        results = self._model.score(JsonBatch(bodies).decode(self._model.compiled))
        count(results, time.perf_counter() - started)
        return results, _encode_outcomes(results)

    def _next_batch(self) -> list[tuple[bytes, asyncio.Future[ScoredRecord]]]:
        """Return the waiting records that are scored in this iteration."""
        size = 0
        for index, (body, _) in enumerate(self._waiting):
            size += len(body)
            if index and (size > _MAX_BYTES or index == _MAX_RECORDS):
                return self._waiting[:index]
        return self._waiting


def _encode_outcomes(results: Results) -> Sequence[Encoded]:
    """Encode all scores of a batch together; returns one outcome a record, in order."""
    scores = encode_scores(results.scores)
    if not results.rejected:
        return scores
    found: dict[int, Encoded] = {**dict(zip(results.positions, scores, strict=True)), **results.rejected}
    return [found[index] for index in range(len(results))]


def count(results: Results, seconds: float) -> None:
    """Count the results of records received over HTTP, and the seconds that scoring took."""
    events.BatchScored(INTERFACE, results.scored, len(results.rejected), results.codes(), seconds).emit()
