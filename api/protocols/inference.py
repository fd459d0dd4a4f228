"""What the protocol adapters share: rows in, scores out, by the same path as every interface."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from api.batch_scoring import BatchScorer
from api.limits.time_slices import SLICE_RECORDS, TimeSlicer
from api.strict_json import DuplicateMemberError, reject_duplicate_members
from schemas.codec import EncodableScore
from schemas.errors import RecordError, RejectionCode
from schemas.records import ModelRef
from schemas.tables.feature_table import CODING, PATIENT_ID, FeatureTable
from scoring.evidence import SourceWindow
from scoring.model_manager import ModelManager
from scoring.pipeline import Results

_DUPLICATE: Final = str(RejectionCode.DUPLICATE_FIELD)
_ERRORS_SHOWN: Final = 10
"""How many invalid rows an error message lists."""
_LONGEST_CODING: Final = 64
_Converted = TypeVar("_Converted")


class InvalidRowsError(Exception):
    """Invalid rows or requests. The message names rows, codes and fields, never a value."""


class RowScorer:
    """Reads and scores rows."""

    def __init__(self, manager: ModelManager, scorer: BatchScorer, slicer: TimeSlicer) -> None:
        self._manager = manager
        self._scorer = scorer
        self._slicer = slicer
        self.body, self.exclusive, self.send = scorer.body, scorer.exclusive, scorer.send
        self.run = slicer.run

    @property
    def model(self) -> ModelRef:
        """The model in use."""
        return self._manager.scorer.model

    @property
    def table(self) -> FeatureTable:
        """The feature table of the rows."""
        return self._manager.compiled.table

    async def score(self, request: web.Request, rows: Iterable[Mapping[str, Any] | str], charged: int) -> Results:
        """Score all rows, which are read in time slices.

        A row is a record, or its JSON. Raises InvalidRowsError with the invalid rows and their errors, and ProblemError
        if a limit is exceeded.
        """
        records = await self._encode_records(request, iter(rows), charged)
        results = await self._scorer.score(request, records, SourceWindow())
        if bad := len(results.rejected):
            shown = [
                f"row {index}: {RecordError(issues)}"
                for index, issues in islice(results.rejected.items(), _ERRORS_SHOWN)
            ]
            more = f" ... and {bad - _ERRORS_SHOWN} more" if bad > _ERRORS_SHOWN else ""
            raise InvalidRowsError(f"{bad} of {len(results)} rows are invalid; {' | '.join(shown)}{more}")
        return results

    async def map_scores(
        self, scores: Sequence[EncodableScore], convert: Callable[[EncodableScore], _Converted]
    ) -> list[_Converted]:
        """Apply `convert` to each score, in time slices."""
        converted: list[_Converted] = []
        for start in range(0, len(scores), SLICE_RECORDS):
            chunk = scores[start : start + SLICE_RECORDS]
            converted += await self._slicer.run(lambda chunk=chunk: list(map(convert, chunk)))
        return converted

    async def _encode_records(
        self, request: web.Request, rows: Iterable[Mapping[str, Any] | str], charged: int
    ) -> list[bytes]:
        records: list[bytes] = []
        while more := await self._slicer.run(lambda: [encode_record(row) for row in islice(rows, SLICE_RECORDS)]):
            records += more
        self._scorer.admit(request, len(records), charged)
        return records


def reject_duplicate_keys(body: bytes) -> None:
    """Raise InvalidRowsError if the body is not a JSON document, or an object in it has duplicate members."""
    try:
        reject_duplicate_members(body)
    except DuplicateMemberError:
        raise InvalidRowsError(f"{_DUPLICATE}: a JSON object has duplicate members") from None
    except ValueError:
        raise InvalidRowsError("the body is not a JSON document in UTF-8") from None


def reject_duplicate_names(names: Sequence[str], kind: str, table: FeatureTable) -> None:
    """Raise InvalidRowsError if there are duplicate columns or tensors; `kind` is their plural."""
    if repeated := len(names) - len(set(names)):
        known = sorted({name for name in (PATIENT_ID, *table.names, CODING) if names.count(name) > 1})
        raise InvalidRowsError(f"{_DUPLICATE}: {repeated} duplicate {kind}{': ' if known else ''}{', '.join(known)}")


def encode_record(record: Mapping[str, Any] | str) -> bytes:
    """Encode a row as a patient record; absent fields are left out, to be reported as missing."""
    try:
        return record.encode() if isinstance(record, str) else msgspec.json.encode(record)
    except RecursionError:
        raise InvalidRowsError("a row is nested too deeply") from None


def check_coding(coding: object) -> object:
    """Return the coding of all rows; raises InvalidRowsError if it is too long to be copied into each of them."""
    if isinstance(coding, str | None) and len(coding or "") <= _LONGEST_CODING:
        return coding
    raise InvalidRowsError(f"coding must be a string of at most {_LONGEST_CODING} characters")
