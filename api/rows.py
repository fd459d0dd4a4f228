"""What the adapters for other protocols share: rows of numbers in, scores out, by the one path of every door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from api.audit import Audit
from api.microbatch import score_all
from schemas.errors import RecordError
from schemas.records import Score
from scoring.pipeline import Rejected
from scoring.scorer import Scorer

_SCORES: Final = msgspec.json.Decoder(Score)
_TOLD: Final = 10
"""So many bad rows are told in full."""


class RowsError(Exception):
    """Rows that cannot be scored. The text names rows, codes and fields, and no value."""


def scored(rows: Sequence[bytes], scorer: Scorer, audit: Audit, caller: str) -> list[tuple[bytes, Score]]:
    """Return each row's score, as JSON and as an object; raises RowsError that tells which rows are bad, and why."""
    outcomes = score_all(rows, scorer)
    audit.note(caller, rows, outcomes)
    bad = [(index, outcome) for index, outcome in enumerate(outcomes) if isinstance(outcome, Rejected)]
    if bad:
        told = [f"row {index}: {RecordError(outcome.faults)}" for index, outcome in bad[:_TOLD]]
        more = f" ... and {len(bad) - _TOLD} more" if len(bad) > _TOLD else ""
        raise RowsError(f"{len(bad)} of {len(rows)} rows cannot be scored; {' | '.join(told)}{more}")
    values = [outcome.value for outcome in outcomes if not isinstance(outcome, Rejected)]
    return [(value, _SCORES.decode(value)) for value in values]


def written(record: Mapping[str, Any]) -> bytes:
    """Write one row as a patient record; what it lacks is left out, to be told as missing."""
    return msgspec.json.encode(record)
