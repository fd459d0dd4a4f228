"""`POST /predict` and `POST /predict/batch`: the scores that Kafka would carry, of one record and of many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from api import bodies, problems
from api.admission import Admission
from api.audit import Audit
from api.auth import caller_of
from api.microbatch import DOOR, MicroBatch, count, score_all
from api.problems import RefusalError
from api.traces import scoring
from runtime import events
from runtime.settings import Gateway
from schemas.errors import Fault
from schemas.http import LINES_TYPE
from scoring.evidence import SourceWindow
from scoring.pipeline import Outcome, Rejected, Scored
from scoring.serving import Serving
from scoring.sources import judged

_SLICE: Final = 500
"""So many records are scored at a time: some two milliseconds, in which nobody else is answered."""
_ARRAYS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_JSON: Final = "application/json"


class Predictions:
    """Scores what is posted."""

    def __init__(self, serving: Serving, admission: Admission, audit: Audit, settings: Gateway) -> None:
        self._serving = serving
        self._together = MicroBatch(serving)
        self._admission = admission
        self._audit = audit
        self._settings = settings

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Score one patient record: 200 with the score object, 422 with all that is wrong."""
        limits = self._settings
        body = await bodies.whole(request, limits.body_limit_bytes, limits.body_timeout_seconds)
        match await self.outcome(request, body):
            case Scored(value):
                return web.Response(body=value, content_type=_JSON)
            case Rejected(faults):
                return problems.rejected_record(faults)

    async def outcome(self, request: web.Request, record: bytes) -> Outcome:
        """Return what becomes of one record, by the way of all of them: admitted, scored, noted."""
        self._admission.charge(request, 1)
        with scoring(request, 1):
            outcome = await self._together.score(record)
        self._audit.note(caller_of(request), [record], [outcome])
        return outcome

    def reject(self, request: web.Request, body: bytes, faults: tuple[Fault, ...], seconds: float) -> None:
        """Count and note what was to be a record and is none, as if the core had rejected it in so many seconds."""
        self._admission.charge(request, 1)
        events.BatchScored(DOOR, 0, 1, tuple(str(fault.code) for fault in faults), seconds).emit()
        self._audit.note(caller_of(request), [body], [Rejected(faults)])

    async def many(self, request: web.Request) -> web.StreamResponse:
        """Score many: a JSON array gives an array, lines give lines; a rejected record has its faults in its place."""
        match request.content_type:
            case "application/json":
                return await self._array(request)
            case "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines":
                return await self._lines(request)
            case _:
                detail = f"Send a JSON array as {_JSON}, or one record a line as {LINES_TYPE}."
                raise RefusalError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, ends_connection=True)

    async def _array(self, request: web.Request) -> web.StreamResponse:
        limits = self._settings
        body = await bodies.whole(request, limits.batch_limit_bytes, limits.batch_timeout_seconds)
        try:
            records = [bytes(raw) for raw in _ARRAYS.decode(body)]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise RefusalError(HTTPStatus.BAD_REQUEST, "The body is not a JSON array.") from None
        self._admission.charge(request, len(records))
        results: list[bytes] = []
        async for start, outcomes in self._of_one_source(request, records):
            self._audit.note(caller_of(request), records[start : start + len(outcomes)], outcomes)
            results.extend(_written(outcomes, start))
        return web.Response(body=b"[" + b",".join(results) + b"]", content_type=_JSON)

    async def _of_one_source(
        self, request: web.Request, records: Sequence[bytes]
    ) -> AsyncIterator[tuple[int, Sequence[Outcome]]]:
        """Score all records before the first outcome is known: any of them may show the coding of them all."""
        found: list[Outcome] = []
        started = time.perf_counter()
        for start in range(0, len(records), _SLICE):
            part = records[start : start + _SLICE]
            with scoring(request, len(part)):
                found.extend(self._serving.process(part, [None] * len(part)))
            await asyncio.sleep(0)
        outcomes = judged(found, SourceWindow())
        count(outcomes, time.perf_counter() - started)
        for start in range(0, len(records), _SLICE):
            yield start, outcomes[start : start + _SLICE]
            await asyncio.sleep(0)

    async def _lines(self, request: web.Request) -> web.StreamResponse:
        """Answer while the caller still sends; whoever does not read is not read from either."""
        response = web.StreamResponse(headers={"Content-Type": LINES_TYPE})
        try:
            await self._answer_lines(request, response)
        except (RefusalError, TimeoutError):
            if not response.prepared:
                raise
            # The answer has begun: that it is not whole can only be told by breaking it off.
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _answer_lines(self, request: web.Request, response: web.StreamResponse) -> None:
        pause, done, source = self._settings.body_timeout_seconds, 0, SourceWindow()
        async for found in bodies.lines(request, pause):
            for start in range(0, len(found), _SLICE):
                records = found[start : start + _SLICE]
                await self._admission.wait(request, len(records))
                with scoring(request, len(records)):
                    outcomes = score_all(records, self._serving, source)
                self._audit.note(caller_of(request), records, outcomes)
                results = _written(outcomes, done)
                done += len(records)
                if not response.prepared:
                    await response.prepare(request)
                async with asyncio.timeout(pause):
                    await response.write(b"\n".join(results) + b"\n")
        if not response.prepared:
            await response.prepare(request)
        await response.write_eof()


def _written(outcomes: Sequence[Outcome], first: int) -> Iterator[bytes]:
    """Write each outcome as JSON; `first` is the place of the first one."""
    for index, outcome in enumerate(outcomes, first):
        match outcome:
            case Scored(value):
                yield value
            case Rejected(faults):
                yield problems.rejected_line(index, faults)
