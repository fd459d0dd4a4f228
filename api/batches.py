"""Many records of one request: bounded in number before they are parsed, charged before that, and scored in turns."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Final, TypeVar

from aiohttp import web

from api import answers, bodies
from api.admission import Admission
from api.audit import Audit
from api.auth import caller_of
from api.microbatch import count
from api.problems import RefusalError
from api.strict_json import without_bom
from api.traces import scoring
from api.turns import Turns, slices
from runtime.settings import Gateway
from scoring.evidence import SourceWindow
from scoring.pipeline import Outcome
from scoring.serving import Serving
from scoring.sources import judged

_VALUES_OF_A_RECORD: Final = 32
"""A record of 14 members has 29 marks of structure in JSON, 31 with its coding."""
JSON_MARKS: Final = (b",", b":", b"[", b"{")
CSV_MARKS: Final = (b",", b"\n", b"\r")
_JUDGED_TOGETHER: Final = 500
_Parsed = TypeVar("_Parsed")


class Batches:
    """Reads, charges, scores and notes what comes as many records; one for all routes, which share the event loop."""

    def __init__(self, serving: Serving, admission: Admission, audit: Audit, settings: Gateway, turns: Turns) -> None:
        self._serving = serving
        self._admission = admission
        self._audit = audit
        self._settings = settings
        self._turns = turns

    async def parsed(
        self, request: web.Request, parse: Callable[[bytes], _Parsed], marks: Sequence[bytes] = JSON_MARKS
    ) -> tuple[_Parsed, int]:
        """Read a body, charge for its size and parse it; returns what `parse` makes of it, and how much was charged.

        Raises RefusalError, and what `parse` raises: it holds the event loop, so what it can find is bounded, by how
        many `marks` of structure there are.
        """
        limits = self._settings
        left = limits.batch_limit_records * _VALUES_OF_A_RECORD

        def look(part: bytes) -> None:
            nonlocal left
            left -= sum(map(part.count, marks))
            if left < 0:
                raise _too_many(limits.batch_limit_records)

        body = await bodies.whole(request, limits.batch_limit_bytes, limits.batch_timeout_seconds, look)
        paid = self._admission.charge_body(request, len(body))
        return await self._turns.run(parse, without_bom(body)), paid

    def admit(self, request: web.Request, records: int, paid: int) -> None:
        """Charge for records of which some are paid for; raises RefusalError (413, 429)."""
        if records > self._settings.batch_limit_records:
            raise _too_many(self._settings.batch_limit_records)
        self._admission.charge(request, records, paid)

    async def scored(self, request: web.Request, records: Sequence[bytes]) -> Sequence[Outcome]:
        """Score records of one source, before one is judged: any of them may show the coding of them all."""
        found, seconds = await self._in_turns(request, records)
        outcomes = await self._turns.run(judged, found, SourceWindow())
        for start in range(0, len(outcomes), _JUDGED_TOGETHER):
            part = outcomes[start : start + _JUDGED_TOGETHER]
            await self._turns.run(count, part, seconds * len(part) / len(outcomes))
        return outcomes

    async def scored_lines(
        self, request: web.Request, records: Sequence[bytes], source: SourceWindow
    ) -> AsyncIterator[tuple[Sequence[bytes], Sequence[Outcome]]]:
        """Score lines of a source that has more of them, and yield them as they are judged."""
        for start in range(0, len(records), _JUDGED_TOGETHER):
            part = records[start : start + _JUDGED_TOGETHER]
            found, seconds = await self._in_turns(request, part)
            outcomes = judged(found, source)
            count(outcomes, seconds)
            yield part, outcomes

    async def answer(self, request: web.Request, parts: Sequence[bytes], content_type: str) -> web.StreamResponse:
        """Send an answer of any size; whoever does not take it is cut off."""
        limits = self._settings
        return await answers.send(
            request, parts, content_type, limits.body_timeout_seconds, limits.batch_timeout_seconds
        )

    def note(self, request: web.Request, records: Sequence[bytes], outcomes: Sequence[Outcome]) -> None:
        """Write the audit trail's lines; raises RefusalError."""
        self._audit.note(caller_of(request), records, outcomes)

    async def note_all(self, request: web.Request, records: Sequence[bytes], outcomes: Sequence[Outcome]) -> None:
        """Do the same for many, in turns."""
        start = 0
        for part in slices(records):
            few = outcomes[start : start + len(part)]
            await self._turns.run(self.note, request, part, few)
            start += len(part)

    async def _in_turns(self, request: web.Request, records: Sequence[bytes]) -> tuple[list[Outcome], float]:
        found: list[Outcome] = []
        seconds = 0.0

        def score(part: Sequence[bytes]) -> float:
            began = time.perf_counter()
            with scoring(request, len(part)):
                found.extend(self._serving.process(part, [None] * len(part)))
            return time.perf_counter() - began

        for part in slices(records):
            seconds += await self._turns.run(score, part)
        return found, seconds


def _too_many(records: int) -> RefusalError:
    return RefusalError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body holds more than {records} records, or more values than so many have; send less at once, or lines "
        "to /predict/batch.",
        ends_connection=True,
    )
