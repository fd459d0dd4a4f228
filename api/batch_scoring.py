"""Many records of one request: bounded in number before they are parsed, charged before that, and scored in turns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from api import request_body, responses
from api.audit.trail import Trail
from api.limits.memory_limit import Memory
from api.limits.rate_limit import Admission
from api.limits.time_slices import SLICE_BYTES, SLICE_RECORDS, Turns, slices
from api.microbatch import count
from api.problem_details import RefusalError
from api.security.auth import caller_of
from api.strict_json import without_bom
from api.tracing import scoring
from runtime.settings import Gateway
from scoring.batches import JsonBatch
from scoring.evidence import SourceWindow
from scoring.pipeline import Model, Results, joined
from scoring.sources import judged

_VALUES_OF_A_RECORD: Final = 32
"""A record of 14 members has 29 marks of structure in JSON, 31 with its coding."""
JSON_MARKS: Final = (b",", b":", b"[", b"{")
CSV_MARKS: Final = (b",", b"\n", b"\r")
JUDGED_TOGETHER: Final = 500
"""So many lines of a stream are judged at once."""
_ANSWER_BYTES: Final = 2_048
"""The largest that there is for one record: 13 faults."""
_STREAM_BYTES: Final = 524_288
"""What a stream of lines has in buffers, at most: what came, what is at work, and its answers."""


class Body(msgspec.Struct, frozen=True):
    """What a request brought: how much of its price is paid, and whether it may be worked on beside a large one."""

    content: bytes
    paid: int
    is_small: bool


class Batches:
    """Reads, charges, scores and notes what comes as many records; one for all routes, which share the event loop."""

    def __init__(
        self, model: Model, admission: Admission, audit: Trail | None, settings: Gateway, turns: Turns, memory: Memory
    ) -> None:
        self._memory = memory
        self._model = model
        self._admission = admission
        self._audit = audit
        self._settings = settings
        self._turns = turns

    async def body(self, request: web.Request, marks: Sequence[bytes] = JSON_MARKS) -> Body:
        """Read a body and charge for its size; raises RefusalError.

        To parse it holds the event loop, and takes memory, by how many `marks` of structure there are: they are
        bounded.
        """
        limits, found = self._settings, 0
        most = limits.batch_limit_records * _VALUES_OF_A_RECORD

        def look(part: bytes) -> None:
            nonlocal found
            self._memory.hold(request, len(part))
            found += sum(map(part.count, marks))
            if found > most:
                raise _too_many(limits.batch_limit_records)

        content = await request_body.whole(request, limits.batch_limit_bytes, limits.batch_timeout_seconds, look)
        paid = self._admission.charge_body(request, len(content))
        return Body(
            without_bom(content), paid, len(content) <= SLICE_BYTES and found <= SLICE_RECORDS * _VALUES_OF_A_RECORD
        )

    def working(self, body: Body) -> AbstractAsyncContextManager[None]:
        """Wait for the turn of a large body to be worked on; raises RefusalError (503)."""
        return nullcontext() if body.is_small else self._memory.working(self._settings.batch_timeout_seconds)

    def admit(self, request: web.Request, records: int, paid: int) -> None:
        """Charge for records of which some are paid for, and make room for the answer; raises RefusalError."""
        if records > self._settings.batch_limit_records:
            raise _too_many(self._settings.batch_limit_records)
        self._admission.charge(request, records, paid)
        self._memory.hold(request, records * _ANSWER_BYTES)

    def begin_lines(self, request: web.Request) -> None:
        """Make room for a stream of lines; raises RefusalError (503)."""
        self._memory.hold(request, _STREAM_BYTES)

    async def scored(self, request: web.Request, records: Sequence[bytes], source: SourceWindow) -> Results:
        """Score records of one source, judge them together, count them, and have a line in the audit trail for each.

        Any of them may show the coding of them all. Raises RefusalError.
        """
        found: list[Results] = []
        seconds = 0.0

        def score(part: Sequence[bytes]) -> float:
            began = time.perf_counter()
            with scoring(len(part)):
                found.append(self._model.score(JsonBatch(part).decode()))
            return time.perf_counter() - began

        for part in slices(records):
            seconds += await self._turns.run(score, part)
        results = await self._turns.run(lambda: judged(joined(found), source))
        starts = range(0, len(results), JUDGED_TOGETHER)
        for few in results.split(min(JUDGED_TOGETHER, len(results) - start) for start in starts):
            await self._turns.run(count, few, seconds * len(few) / len(results))
        if self._audit is not None:
            await self._note(self._audit, request, records, results)
        return results

    async def _note(self, audit: Trail, request: web.Request, records: Sequence[bytes], results: Results) -> None:
        lines: list[bytes] = []
        start = 0
        for part in slices(records):
            lines.append(await self._turns.run(audit.lines, caller_of(request), part, results, start))
            start += len(part)
        await audit.commit(b"".join(lines))

    async def answer(self, request: web.Request, parts: Sequence[bytes], content_type: str) -> web.StreamResponse:
        """Send an answer of any size; whoever does not take it is cut off."""
        limits = self._settings
        return await responses.send(
            request, parts, content_type, limits.body_timeout_seconds, limits.batch_timeout_seconds
        )


def _too_many(records: int) -> RefusalError:
    return RefusalError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body holds more than {records} records, or more values than so many have; send less at once, or lines "
        "to /predict/batch.",
        ends_connection=True,
    )
