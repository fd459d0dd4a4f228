"""`POST /predict` and `POST /predict/batch`: the same scores as on Kafka, of one record and of many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from api import problem_details, request_body
from api.audit.trail import AuditTrail
from api.batch_scoring import SOURCE_CHECK_RECORDS, BatchScorer, Body
from api.limits.rate_limit import RateLimit
from api.limits.time_slices import SLICE_RECORDS, TimeSlicer
from api.microbatch import Encoded, MicroBatch, count
from api.problem_details import ProblemError
from api.security.auth import caller_name
from api.strict_json import without_bom
from api.tracing import scoring
from runtime import events
from runtime.settings import Gateway
from schemas.codec import encode_score
from schemas.http import LINES_TYPE
from scoring.evidence import SourceWindow
from scoring.pipeline import Issues, Model, Outcome, rejection

_ARRAY_DECODER: Final = msgspec.json.Decoder(list[msgspec.Raw])
_JSON: Final = "application/json"


class PredictionRoutes:
    """Handles predictions."""

    def __init__(
        self,
        model: Model,
        rate_limit: RateLimit,
        audit: AuditTrail | None,
        settings: Gateway,
        scorer: BatchScorer,
        slicer: TimeSlicer,
    ) -> None:
        self._scorer = scorer
        self._slicer = slicer
        self._micro_batch = MicroBatch(model)
        self._rate_limit = rate_limit
        self._audit = audit
        self._settings = settings

    async def predict(self, request: web.Request) -> web.StreamResponse:
        """Score one patient record: 200 with the score object, 422 with every validation error."""
        limits = self._settings
        body = await request_body.read_body(request, limits.body_limit_bytes, limits.body_timeout_seconds)
        self._rate_limit.charge_body(request, len(body))
        outcome = await self.score_record(request, body)
        if isinstance(outcome, tuple):
            return problem_details.rejected_record(outcome)
        return web.Response(body=outcome, content_type=_JSON)

    async def score_record(self, request: web.Request, record: bytes) -> Encoded:
        """Score and audit one record that was charged for; returns its outcome."""
        with scoring(1):
            outcome, results, index = await self._micro_batch.score(record)
        if self._audit is not None:
            await self._audit.commit(self._audit.lines(caller_name(request), [record], results, index))
        return outcome

    async def reject(self, request: web.Request, body: bytes, issues: Issues, seconds: float) -> None:
        """Count and audit an invalid body, as if the core had rejected it in so many seconds."""
        results = rejection(issues)
        count(results, seconds)
        if self._audit is not None:
            await self._audit.commit(self._audit.lines(caller_name(request), [body], results))

    async def predict_batch(self, request: web.Request) -> web.StreamResponse:
        """Score a JSON array or NDJSON, in the same format; a rejected record has its errors in its place."""
        match request.content_type:
            case "application/json":
                return await self._array(request)
            case "application/x-ndjson" | "application/jsonl" | "application/x-jsonlines":
                return await self._lines(request)
            case _:
                detail = (
                    f"Unsupported media type; send a JSON array as {_JSON}, or one record per line as {LINES_TYPE}."
                )
                raise ProblemError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, ends_connection=True)

    async def _array(self, request: web.Request) -> web.StreamResponse:
        body = await self._scorer.body(request)
        async with self._scorer.exclusive(body):
            parts = await self._score_array(request, body)
        return await self._scorer.send(request, parts, _JSON)

    async def _score_array(self, request: web.Request, body: Body) -> Sequence[bytes]:
        """Return the parts of the response to an array."""
        raws = await self._slicer.run(_parse_array, body.content)
        self._scorer.admit(request, len(raws), body.charged)
        records = await self._slicer.run(lambda: [bytes(raw) for raw in raws])
        results = await self._scorer.score(request, records, SourceWindow())
        outcomes, parts = results.outcomes(), list[bytes]()
        for start in range(0, len(outcomes), SLICE_RECORDS):
            chunk = outcomes[start : start + SLICE_RECORDS]
            part = await self._slicer.run(lambda chunk=chunk, start=start: b",".join(_encode_records(chunk, start)))
            parts += (b"," if parts else b"[", part)
        return [*(parts or [b"["]), b"]"]

    async def _lines(self, request: web.Request) -> web.StreamResponse:
        """Respond while the client still sends, with backpressure: read no more than it reads."""
        response = web.StreamResponse(headers={"Content-Type": LINES_TYPE})
        try:
            with self._rate_limit.stream(request):
                async with asyncio.timeout(self._settings.stream_max_seconds):
                    await self._score_lines(request, response)
        except (ProblemError, TimeoutError) as error:
            if not response.prepared:
                raise error if isinstance(error, ProblemError) else request_body.body_timeout() from None
            _abort(request)
        except Exception as error:
            if not response.prepared:
                raise
            events.RequestFailed(error).emit()
            _abort(request)
        return response

    async def _score_lines(self, request: web.Request, response: web.StreamResponse) -> None:
        self._scorer.reserve_stream(request)
        timeout, scored, source = self._settings.body_timeout_seconds, 0, SourceWindow()
        lines = request_body.read_lines(request, timeout, self._settings.stream_records_per_second)
        async for received, empty in lines:
            await self._rate_limit.wait(request, len(received) + empty)
            if received and not scored:
                received[:1] = filter(bytes.strip, (without_bom(received[0]),))
            for start in range(0, len(received), SOURCE_CHECK_RECORDS):
                records = received[start : start + SOURCE_CHECK_RECORDS]
                results = await self._scorer.score(request, records, source)
                outcomes = await self._slicer.run(
                    lambda results=results, scored=scored: list(_encode_records(results.outcomes(), scored))
                )
                scored += len(records)
                if not response.prepared:
                    await response.prepare(request)
                async with asyncio.timeout(timeout):
                    await response.write(b"\n".join(outcomes) + b"\n")
        if not response.prepared:
            await response.prepare(request)
        await response.write_eof()


def _abort(request: web.Request) -> None:
    """Close the connection: once a response has started, only that shows that it is incomplete."""
    if request.transport is not None:
        request.transport.abort()


def _parse_array(body: bytes) -> list[msgspec.Raw]:
    try:
        return _ARRAY_DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        detail = (
            f"The body is not a JSON array. Send one record per line as {LINES_TYPE}, or a single record to /predict."
        )
        raise ProblemError(HTTPStatus.BAD_REQUEST, detail) from None


def _encode_records(outcomes: Sequence[Outcome], first: int) -> Iterator[bytes]:
    """Encode each outcome as JSON; `first` is the index of the first one."""
    for index, outcome in enumerate(outcomes, first):
        yield (
            problem_details.rejected_record_json(index, outcome)
            if isinstance(outcome, tuple)
            else encode_score(outcome)
        )
