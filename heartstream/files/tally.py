"""What became of the rows so far."""

from __future__ import annotations

from collections import Counter

import msgspec

from heartstream.files.formats import Content
from schemas.errors import Fault
from scoring.evidence import Evidence
from scoring.pipeline import Lines, Rejected


class RejectedRow(msgspec.Struct, frozen=True):
    """A line of the errors file: the row, counted from 1, and what is wrong with it, as in a dead letter."""

    row: int
    errors: tuple[Fault, ...]


class Part(msgspec.Struct, frozen=True):
    """What came of a batch: its scores as they are to be written, the places of rejected rows, and its evidence."""

    content: Content
    scored: int
    rejected: list[tuple[int, Rejected]]
    evidence: Evidence


class Tally(msgspec.Struct, frozen=True):
    """Counts of rows. `codes` counts each rejected row once for each code among its faults.

    Of a whole file, `missing` counts cells that were read as not measured, and `blank_rows` are no rows.
    """

    scored: int = 0
    rejected: int = 0
    codes: dict[str, int] = {}
    missing: dict[str, int] = {}
    blank_rows: int = 0

    @property
    def rows(self) -> int:
        """All rows."""
        return self.scored + self.rejected

    def plus(self, part: Lines | Part) -> Tally:
        """Return the counts with those of another batch."""
        codes = Counter(self.codes)
        for _, rejected in part.rejected:
            codes.update({str(fault.code) for fault in rejected.faults})
        return Tally(self.scored + part.scored, self.rejected + len(part.rejected), dict(codes))

    def error_lines(self, part: Lines | Part) -> bytes:
        """Write the rejected rows of the batch that comes after these rows, a line each."""
        return msgspec.json.Encoder().encode_lines(
            [RejectedRow(self.rows + place + 1, rejected.faults) for place, rejected in part.rejected]
        )
