"""What the adapters for other protocols share: rows of numbers in, scores out, by the one path of every interface."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from api.batch_scoring import Batches
from api.limits.time_slices import SLICE_RECORDS, Turns
from api.strict_json import RepeatedMemberError, refuse_repeated_members
from schemas.codec import EncodableScore
from schemas.errors import RecordError, RejectionCode
from schemas.records import ModelRef
from schemas.validation import FIELD_NAMES
from scoring.evidence import SourceWindow
from scoring.model_manager import ModelManager
from scoring.pipeline import Results

_REPEATED: Final = str(RejectionCode.DUPLICATE_FIELD)
_TOLD: Final = 10
"""So many bad rows are told in full."""
_LONGEST_CODING: Final = 64
_Taken = TypeVar("_Taken")


class RowsError(Exception):
    """Rows that cannot be scored. The text names rows, codes and fields, and no value."""


class Rows:
    """Reads and scores what comes in rows."""

    def __init__(self, manager: ModelManager, batches: Batches, turns: Turns) -> None:
        self._manager = manager
        self._batches = batches
        self._turns = turns
        self.body, self.working, self.answer = batches.body, batches.working, batches.answer
        self.parsed = turns.run

    @property
    def model(self) -> ModelRef:
        """The model that scores."""
        return self._manager.scorer.model

    async def scored(self, request: web.Request, rows: Iterable[Mapping[str, Any] | str], paid: int) -> Results:
        """Score rows, which are read in turns: all of them have a score.

        A row is a record, or its JSON. Raises RowsError that tells which rows are bad, and why; RefusalError where
        the caller sends too much.
        """
        records = await self._written(request, iter(rows), paid)
        results = await self._batches.scored(request, records, SourceWindow())
        if bad := len(results.rejected):
            told = [f"row {index}: {RecordError(faults)}" for index, faults in islice(results.rejected.items(), _TOLD)]
            more = f" ... and {bad - _TOLD} more" if bad > _TOLD else ""
            raise RowsError(f"{bad} of {len(results)} rows cannot be scored; {' | '.join(told)}{more}")
        return results

    async def each(self, scores: Sequence[EncodableScore], take: Callable[[EncodableScore], _Taken]) -> list[_Taken]:
        """Return what `take` makes of each score, in turns."""
        taken: list[_Taken] = []
        for start in range(0, len(scores), SLICE_RECORDS):
            few = scores[start : start + SLICE_RECORDS]
            taken += await self._turns.run(lambda few=few: list(map(take, few)))
        return taken

    async def _written(self, request: web.Request, rows: Iterable[Mapping[str, Any] | str], paid: int) -> list[bytes]:
        records: list[bytes] = []
        while more := await self._turns.run(lambda: [written(row) for row in islice(rows, SLICE_RECORDS)]):
            records += more
        self._batches.admit(request, len(records), paid)
        return records


def refuse_repeats(body: bytes) -> None:
    """Raise RowsError where the body is no JSON document, or an object in it has two members of one name."""
    try:
        refuse_repeated_members(body)
    except RepeatedMemberError:
        raise RowsError(f"{_REPEATED}: a member of a JSON object stands more than once") from None
    except ValueError:
        raise RowsError("the body is not a JSON document in UTF-8") from None


def refuse_repeated_names(names: Sequence[str], kind: str) -> None:
    """Raise RowsError where a column or tensor stands more than once."""
    if repeated := len(names) - len(set(names)):
        known = sorted({name for name in FIELD_NAMES if names.count(name) > 1})
        raise RowsError(f"{_REPEATED}: {repeated} {kind} more than once{': ' if known else ''}{', '.join(known)}")


def written(record: Mapping[str, Any] | str) -> bytes:
    """Write one row as a patient record; what it lacks is left out, to be told as missing."""
    try:
        return record.encode() if isinstance(record, str) else msgspec.json.encode(record)
    except RecursionError:
        raise RowsError("a row is nested too deep") from None


def coding_of_all(coding: object) -> object:
    """Return the coding that is named for all rows; raises RowsError for what is too long to stand in each of them."""
    if isinstance(coding, str | None) and len(coding or "") <= _LONGEST_CODING:
        return coding
    raise RowsError(f"coding is no text of at most {_LONGEST_CODING} characters")
