"""`POST /predict` and `POST /predict/batch`: the scores that Kafka would carry, of one record and of many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from api import bodies, problems
from api.admission import Admission
from api.audit import Audit
from api.auth import caller_of
from api.microbatch import DOOR, MicroBatch, score_all
from api.problems import RefusalError
from api.traces import scoring
from runtime import events
from runtime.settings import Gateway
from schemas.errors import Fault
from schemas.http import LINES_TYPE
from scoring.pipeline import Outcome, Rejected, Scored
from scoring.serving import Serving

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
        for start in range(0, len(records), _SLICE):
            results.extend(_written(self._scored(request, records[start : start + _SLICE]), start))
            await asyncio.sleep(0)
        return web.Response(body=b"[" + b",".join(results) + b"]", content_type=_JSON)

    def _scored(self, request: web.Request, records: Sequence[bytes]) -> Sequence[Outcome]:
        with scoring(request, len(records)):
            outcomes = score_all(records, self._serving)
        self._audit.note(caller_of(request), records, outcomes)
        return outcomes

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
        pause, count = self._settings.body_timeout_seconds, 0
        async for found in bodies.lines(request, pause):
            for start in range(0, len(found), _SLICE):
                records = found[start : start + _SLICE]
                await self._admission.wait(request, len(records))
                results = _written(self._scored(request, records), count)
                count += len(records)
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
