"""Outcomes of records, one per record, for tests that compare them."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from schemas.codec import EncodableScore, encode_score
from schemas.errors import ValidationIssue
from schemas.records import Source
from scoring.batches import JsonBatch
from scoring.pipeline import Model, Results


class Scored(msgspec.Struct, frozen=True):
    """A scored record; `value` is the score as JSON."""

    value: bytes


class Rejected(msgspec.Struct, frozen=True):
    """A record that cannot be scored, with all of its issues."""

    issues: tuple[ValidationIssue, ...]


Outcome = Scored | Rejected


def process(
    values: Sequence[bytes | None], sources: Sequence[Source | None], model: Model, coding: str | None = None
) -> list[Outcome]:
    """Score records as every interface does, and return one outcome per record, in order."""
    return outcomes_of(model.score(JsonBatch(values, coding, sources).decode(model.compiled)))


def outcomes_of(results: Results) -> list[Outcome]:
    """Return the outcome of each record of a batch, in order."""
    return [
        Scored(encode_score(each)) if isinstance(each, EncodableScore) else Rejected(each)
        for each in results.outcomes()
    ]
