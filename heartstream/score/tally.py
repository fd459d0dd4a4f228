"""What became of the rows so far."""

from __future__ import annotations

from collections import Counter

import msgspec

from schemas.errors import Fault
from scoring.pipeline import Lines


class RejectedRow(msgspec.Struct, frozen=True):
    """A line of the errors file: the row, counted from 1, and what is wrong with it, as in a dead letter."""

    row: int
    errors: tuple[Fault, ...]


class Tally(msgspec.Struct, frozen=True):
    """Counts of rows. `codes` counts each rejected row once for each code among its faults."""

    scored: int = 0
    rejected: int = 0
    codes: dict[str, int] = {}

    @property
    def rows(self) -> int:
        """All rows."""
        return self.scored + self.rejected

    def plus(self, lines: Lines) -> Tally:
        """Return the counts with those of another batch."""
        codes = Counter(self.codes)
        for _, rejected in lines.rejected:
            codes.update({str(fault.code) for fault in rejected.faults})
        return Tally(self.scored + lines.scored, self.rejected + len(lines.rejected), dict(codes))

    def error_lines(self, lines: Lines) -> bytes:
        """Write the rejected rows of the batch that comes after these rows, a line each."""
        return msgspec.json.Encoder().encode_lines(
            [RejectedRow(self.rows + place + 1, rejected.faults) for place, rejected in lines.rejected]
        )
