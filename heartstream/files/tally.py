"""Counts of scored and rejected rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from heartstream.files.formats import Content
from schemas.errors import ValidationIssue
from scoring.evidence import Evidence
from scoring.pipeline import Issues, Results


class RejectedRow(msgspec.Struct, frozen=True):
    """A line of the errors file: the row, counted from 1, and its errors, as in a dead letter."""

    row: int
    errors: tuple[ValidationIssue, ...]


class ScoredBatch(msgspec.Struct, frozen=True):
    """A batch after scoring: the scores as they are written, the rejected rows by position, and its evidence."""

    content: Content
    scored: int
    rejected: Mapping[int, Issues]
    evidence: Evidence


class Tally(msgspec.Struct, frozen=True):
    """Counts of rows. `codes` counts each rejected row once for every code among its errors.

    For a whole file, `missing` counts the cells read as not measured, and `blank_rows` the skipped rows.
    """

    scored: int = 0
    rejected: int = 0
    codes: dict[str, int] = {}
    missing: dict[str, int] = {}
    blank_rows: int = 0

    @property
    def rows(self) -> int:
        """All rows, scored and rejected."""
        return self.scored + self.rejected

    def plus(self, part: Results | ScoredBatch) -> Tally:
        """Return the counts including those of another batch."""
        codes = Counter(self.codes)
        for issues in part.rejected.values():
            codes.update({str(issue.code) for issue in issues})
        return Tally(self.scored + part.scored, self.rejected + len(part.rejected), dict(codes))

    def error_lines(self, part: Results | ScoredBatch) -> bytes:
        """Return the errors of the batch that follows these rows, one line per rejected row."""
        return msgspec.json.Encoder().encode_lines(
            [RejectedRow(self.rows + place + 1, issues) for place, issues in part.rejected.items()]
        )
