"""The distribution of a model's training rows, as its directory contains it, and the histograms that it is made of."""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise
from typing import Final, Self

import msgspec

from schemas.errors import ArtifactError

REFERENCE_SCHEMA: Final = "heartstream-reference/1"
RISK_EDGES: Final = tuple(round(tenth / 10, 1) for tenth in range(1, 10))
"""Risks are counted in ten bins, whatever the model."""


class Histogram(msgspec.Struct, frozen=True):
    """How many values are at or below each edge (and above the previous one), and above the last.

    Histograms with equal edges are merged by adding their counts.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]

    def is_valid(self) -> bool:
        """Return whether edges are increasing, and each bin has a count."""
        rises = all(low < high for low, high in pairwise(self.edges))
        fits = len(self.counts) == len(self.edges) + 1
        return rises and fits and min(self.counts) >= 0


class FieldReference(msgspec.Struct, frozen=True):
    """One field's values in the training rows, and the number of rows without it."""

    measured: Histogram
    missing: int


class Reference(msgspec.Struct, frozen=True):
    """The distribution of the training rows. `risks` are out-of-fold, by model."""

    schema: str
    rows: int
    fields: dict[str, FieldReference]
    risks: dict[str, Histogram]

    @classmethod
    def of_json(cls, content: bytes, names: Collection[str]) -> Self:
        """Read the file of `training.export.drift_reference`; `names` are the fields. Raises ArtifactError."""
        try:
            reference = msgspec.json.decode(content, type=cls)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ArtifactError(f"invalid drift reference: {error}") from error
        if reference.schema != REFERENCE_SCHEMA:
            raise ArtifactError(f"the drift reference's schema is {reference.schema}, expected {REFERENCE_SCHEMA}")
        histograms = [*(field.measured for field in reference.fields.values()), *reference.risks.values()]
        # Only a field that no training row has may have an empty histogram.
        measured = [field.measured for field in reference.fields.values() if field.missing < reference.rows]
        counted = [*measured, *reference.risks.values()]
        valid = all(each.is_valid() for each in histograms) and all(sum(each.counts) for each in counted)
        if set(reference.fields) != set(names) or not valid:
            raise ArtifactError("the drift reference does not have a valid histogram of each field")
        if any(each.edges != RISK_EDGES for each in reference.risks.values()):
            raise ArtifactError("the drift reference's risks are not counted in ten bins")
        return reference
