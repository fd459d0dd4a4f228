"""`POST /predict` and `POST /predict/batch`: the scores that Kafka would carry, of one record and of many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from api import problem_details, request_body
from api.audit.trail import Trail
from api.batch_scoring import JUDGED_TOGETHER, Batches, Body
from api.limits.rate_limit import Admission
from api.limits.time_slices import SLICE_RECORDS, Turns
from api.microbatch import Encoded, MicroBatch, count
from api.problem_details import RefusalError
from api.security.auth import caller_of
from api.strict_json import without_bom
from api.tracing import scoring
from runtime.settings import Gateway
from schemas.codec import encode_score
from schemas.http import LINES_TYPE
from scoring.evidence import SourceWindow
from scoring.pipeline import Issues, Model, Outcome, rejection

_ARRAYS: Final = msgspec.json.Decoder(list[msgspec.Raw])
_JSON: Final = "application/json"


class Predictions:
    """Scores what is posted."""

    def __init__(
        self, model: Model, admission: Admission, audit: Trail | None, settings: Gateway, batches: Batches, turns: Turns
    ) -> None:
        self._batches = batches
        self._turns = turns
        self._together = MicroBatch(model)
        self._admission = admission
        self._audit = audit
        self._settings = settings

    async def one(self, request: web.Request) -> web.StreamResponse:
        """Score one patient record: 200 with the score object, 422 with all that is wrong."""
        limits = self._settings
        body = await request_body.whole(request, limits.body_limit_bytes, limits.body_timeout_seconds)
        self._admission.charge_body(request, len(body))
        outcome = await self.outcome(request, body)
        if isinstance(outcome, tuple):
            return problem_details.rejected_record(outcome)
        return web.Response(body=outcome, content_type=_JSON)

    async def outcome(self, request: web.Request, record: bytes) -> Encoded:
        """Return what becomes of one record that was charged for: it is scored and noted."""
        with scoring(1):
            outcome, results, place = await self._together.score(record)
        if self._audit is not None:
            await self._audit.commit(self._audit.lines(caller_of(request), [record], results, place))
        return outcome

    async def reject(self, request: web.Request, body: bytes, faults: Issues, seconds: float) -> None:
        """Count and note what was to be a record and is none, as if the core had rejected it in so many seconds."""
        results = rejection(faults)
        count(results, seconds)
        if self._audit is not None:
            await self._audit.commit(self._audit.lines(caller_of(request), [body], results))

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
        body = await self._batches.body(request)
        async with self._batches.working(body):
            parts = await self._scored(request, body)
        return await self._batches.answer(request, parts, _JSON)

    async def _scored(self, request: web.Request, body: Body) -> Sequence[bytes]:
        """Return the parts of the answer to an array."""
        raws = await self._turns.run(_raws, body.content)
        self._batches.admit(request, len(raws), body.paid)
        records = await self._turns.run(lambda: [bytes(raw) for raw in raws])
        results = await self._batches.scored(request, records, SourceWindow())
        outcomes, parts = results.outcomes(), list[bytes]()
        for start in range(0, len(outcomes), SLICE_RECORDS):
            few = outcomes[start : start + SLICE_RECORDS]
            part = await self._turns.run(lambda few=few, start=start: b",".join(_written(few, start)))
            parts += (b"," if parts else b"[", part)
        return [*(parts or [b"["]), b"]"]

    async def _lines(self, request: web.Request) -> web.StreamResponse:
        """Answer while the caller still sends; whoever does not read is not read from either."""
        response = web.StreamResponse(headers={"Content-Type": LINES_TYPE})
        try:
            with self._admission.streaming(request):
                async with asyncio.timeout(self._settings.stream_max_seconds):
                    await self._answer_lines(request, response)
        except (RefusalError, TimeoutError) as error:
            if not response.prepared:
                raise error if isinstance(error, RefusalError) else request_body.late() from None
            # The answer has begun: that it is not whole can only be told by breaking it off.
            if request.transport is not None:
                request.transport.abort()
        return response

    async def _answer_lines(self, request: web.Request, response: web.StreamResponse) -> None:
        self._batches.begin_lines(request)
        pause, done, source = self._settings.body_timeout_seconds, 0, SourceWindow()
        async for found, empty in request_body.lines(request, pause, self._settings.stream_records_per_second):
            await self._admission.wait(request, len(found) + empty)
            if found and not done:
                found[:1] = filter(bytes.strip, (without_bom(found[0]),))
            for start in range(0, len(found), JUDGED_TOGETHER):
                records = found[start : start + JUDGED_TOGETHER]
                results = await self._batches.scored(request, records, source)
                lines = await self._turns.run(lambda few=results, done=done: list(_written(few.outcomes(), done)))
                done += len(records)
                if not response.prepared:
                    await response.prepare(request)
                async with asyncio.timeout(pause):
                    await response.write(b"\n".join(lines) + b"\n")
        if not response.prepared:
            await response.prepare(request)
        await response.write_eof()


def _raws(body: bytes) -> list[msgspec.Raw]:
    try:
        return _ARRAYS.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        detail = f"The body is not a JSON array. One record a line is {LINES_TYPE}; one record alone goes to /predict."
        raise RefusalError(HTTPStatus.BAD_REQUEST, detail) from None


def _written(outcomes: Sequence[Outcome], first: int) -> Iterator[bytes]:
    """Write each outcome as JSON; `first` is the place of the first one."""
    for index, outcome in enumerate(outcomes, first):
        yield problem_details.rejected_line(index, outcome) if isinstance(outcome, tuple) else encode_score(outcome)
