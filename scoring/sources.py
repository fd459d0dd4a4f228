"""Rejects the records of a source in an undeclared coding, unless they name their own."""

from __future__ import annotations

from typing import Final

from schemas.codings import CODINGS, FOREIGN_NAMES
from schemas.errors import DataError, RejectionCode, ValidationIssue
from scoring.evidence import SourceWindow
from scoring.pipeline import Results

FOREIGN_SOURCE: Final = (
    ValidationIssue(
        RejectionCode.FOREIGN_SOURCE,
        "",
        "the record is valid, but others of its source are in another coding of this data, so its codes may mean "
        f"something else: set the coding of the whole source, in coding or with --coding: {', '.join(FOREIGN_NAMES)}, "
        "or uci if it is UCI's",
    ),
)


def reject_foreign_source(results: Results, window: SourceWindow) -> Results:
    """Reject the scores of a batch of one source if its last records show another coding.

    `window` is that of the source. Records that name their coding are ignored, and stay scored. Takes a microsecond for
    a batch of any size without foreign records.
    """
    return results.without_undeclared(FOREIGN_SOURCE) if window.note(results.evidence()) else results


def refuse_foreign(name: str, records: int) -> DataError:
    """Return the error for a file whose first `records` records show another coding."""
    return DataError(
        f"{name} is in another coding of this data than {next(iter(CODINGS))}, as its first {records:,} records show; "
        f"nothing was scored. Set --coding to one of {', '.join(FOREIGN_NAMES)}, or to uci if it is UCI's"
    )
