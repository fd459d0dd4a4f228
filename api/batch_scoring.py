"""Scoring many records of one request: charged and bounded before they are parsed, and scored in time slices."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from api import request_body, responses
from api.audit.trail import AuditTrail
from api.limits.memory_limit import MemoryLimit
from api.limits.rate_limit import RateLimit
from api.limits.record_size import RecordSize
from api.limits.time_slices import SLICE_BYTES, SLICE_RECORDS, TimeSlicer, split_records
from api.microbatch import count
from api.problem_details import ProblemError
from api.security.auth import caller_name
from api.strict_json import without_bom
from api.tracing import scoring
from runtime.settings import Gateway
from scoring.batches import JsonBatch
from scoring.evidence import SourceWindow
from scoring.pipeline import Model, Results, joined
from scoring.sources import reject_foreign_source

JSON_DELIMITERS: Final = (b",", b":", b"[", b"{")
CSV_DELIMITERS: Final = (b",", b"\n", b"\r")
SOURCE_CHECK_RECORDS: Final = 500
"""Records of a stream whose coding is checked together."""


class Body(msgspec.Struct, frozen=True):
    """A body: how many tokens were charged for it, and whether it may be processed beside a large one."""

    content: bytes
    charged: int
    is_small: bool


class BatchScorer:
    """Reads, charges, scores and audits many records; one for all routes, which share the event loop."""

    def __init__(
        self,
        model: Model,
        rate_limit: RateLimit,
        audit: AuditTrail | None,
        settings: Gateway,
        slicer: TimeSlicer,
        memory_limit: MemoryLimit,
        size: RecordSize,
    ) -> None:
        self._memory_limit = memory_limit
        self._model = model
        self._size = size
        self._rate_limit = rate_limit
        self._audit = audit
        self._settings = settings
        self._slicer = slicer

    async def body(self, request: web.Request, delimiters: Sequence[bytes] = JSON_DELIMITERS) -> Body:
        """Read a body and charge for its size; raises ProblemError.

        The time and memory that parsing takes depend on the number of structural characters (`delimiters`), which is
        bounded.
        """
        limits, delimiter_count = self._settings, 0
        limit = limits.batch_limit_records * self._size.delimiters

        def inspect(part: bytes) -> None:
            nonlocal delimiter_count
            self._memory_limit.reserve(request, len(part))
            delimiter_count += sum(map(part.count, delimiters))
            if delimiter_count > limit:
                raise _too_many(limits.batch_limit_records)

        content = await request_body.read_body(request, limits.batch_limit_bytes, limits.batch_timeout_seconds, inspect)
        charged = self._rate_limit.charge_body(request, len(content))
        return Body(
            without_bom(content),
            charged,
            len(content) <= SLICE_BYTES and delimiter_count <= SLICE_RECORDS * self._size.delimiters,
        )

    def exclusive(self, body: Body) -> AbstractAsyncContextManager[None]:
        """Wait until a large body may be processed; raises ProblemError (503)."""
        return nullcontext() if body.is_small else self._memory_limit.exclusive(self._settings.batch_timeout_seconds)

    def admit(self, request: web.Request, records: int, charged: int) -> None:
        """Charge for records, less those already charged, and reserve memory for the response; raises ProblemError."""
        if records > self._settings.batch_limit_records:
            raise _too_many(self._settings.batch_limit_records)
        self._rate_limit.charge(request, records, charged)
        self._memory_limit.reserve(request, records * self._size.response_bytes)

    def reserve_stream(self, request: web.Request) -> None:
        """Reserve memory for a stream of lines; raises ProblemError (503)."""
        self._memory_limit.reserve(request, self._size.stream_bytes)

    async def score(self, request: web.Request, records: Sequence[bytes], source: SourceWindow) -> Results:
        """Score the records of one source, check their coding together, count and audit them.

        Any record may reveal the coding of all of them. Raises ProblemError.
        """
        found: list[Results] = []
        seconds = 0.0

        def score(part: Sequence[bytes]) -> float:
            began = time.perf_counter()
            with scoring(len(part)):
                found.append(self._model.score(JsonBatch(part).decode(self._model.compiled)))
            return time.perf_counter() - began

        for part in split_records(records):
            seconds += await self._slicer.run(score, part)
        table = self._model.compiled.table
        results = await self._slicer.run(lambda: reject_foreign_source(joined(found), source, table))
        starts = range(0, len(results), SOURCE_CHECK_RECORDS)
        for chunk in results.split(min(SOURCE_CHECK_RECORDS, len(results) - start) for start in starts):
            await self._slicer.run(count, chunk, seconds * len(chunk) / len(results))
        if self._audit is not None:
            await self._write_audit_lines(self._audit, request, records, results)
        return results

    async def _write_audit_lines(
        self, audit: AuditTrail, request: web.Request, records: Sequence[bytes], results: Results
    ) -> None:
        lines: list[bytes] = []
        start = 0
        for part in split_records(records):
            lines.append(await self._slicer.run(audit.lines, caller_name(request), part, results, start))
            start += len(part)
        await audit.commit(b"".join(lines))

    async def send(self, request: web.Request, parts: Sequence[bytes], content_type: str) -> web.StreamResponse:
        """Send a response of any size; a client that does not read it is disconnected."""
        limits = self._settings
        return await responses.send(
            request, parts, content_type, limits.body_timeout_seconds, limits.batch_timeout_seconds
        )


def _too_many(records: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"Too many records or values: at most {records} records per request; send fewer, or stream NDJSON to "
        "/predict/batch.",
        ends_connection=True,
    )
