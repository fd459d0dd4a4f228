"""What the adapters for other protocols share: rows of numbers in, scores out, by the one path of every door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

from api import bodies
from api.admission import Admission
from api.audit import Audit
from api.auth import caller_of
from api.microbatch import score_all
from api.traces import scoring
from runtime.settings import Gateway
from schemas.codec import decode_score
from schemas.errors import RecordError
from schemas.records import ModelRef, Score
from scoring.evidence import SourceWindow
from scoring.pipeline import Rejected
from scoring.serving import Serving

_TOLD: Final = 10
"""So many bad rows are told in full."""


class RowsError(Exception):
    """Rows that cannot be scored. The text names rows, codes and fields, and no value."""


class Rows:
    """Reads and scores what comes in rows."""

    def __init__(self, serving: Serving, admission: Admission, audit: Audit, settings: Gateway) -> None:
        self._serving = serving
        self._admission = admission
        self._audit = audit
        self._settings = settings

    @property
    def model(self) -> ModelRef:
        """The model that scores."""
        return self._serving.scorer.model

    async def body(self, request: web.Request) -> bytes:
        """Return a request's body; raises RefusalError."""
        return await bodies.whole(request, self._settings.batch_limit_bytes, self._settings.batch_timeout_seconds)

    def scored(self, request: web.Request, rows: Sequence[bytes]) -> list[tuple[bytes, Score]]:
        """Return each row's score, as JSON and as an object.

        Raises RowsError that tells which rows are bad, and why; RefusalError where the caller sends too much.
        """
        self._admission.charge(request, len(rows))
        with scoring(request, len(rows)):
            outcomes = score_all(rows, self._serving, SourceWindow())
        self._audit.note(caller_of(request), rows, outcomes)
        bad = [(index, outcome) for index, outcome in enumerate(outcomes) if isinstance(outcome, Rejected)]
        if bad:
            told = [f"row {index}: {RecordError(outcome.faults)}" for index, outcome in bad[:_TOLD]]
            more = f" ... and {len(bad) - _TOLD} more" if len(bad) > _TOLD else ""
            raise RowsError(f"{len(bad)} of {len(rows)} rows cannot be scored; {' | '.join(told)}{more}")
        values = [outcome.value for outcome in outcomes if not isinstance(outcome, Rejected)]
        return [(value, decode_score(value)) for value in values]


def written(record: Mapping[str, Any]) -> bytes:
    """Write one row as a patient record; what it lacks is left out, to be told as missing."""
    return msgspec.json.encode(record)
