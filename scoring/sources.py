"""What becomes of the records of a source that shows another coding: none is scored unless it names its own."""

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
        "the record is legal, but others of its source belong to another coding of this data, so it may mean "
        f"something else; there are several ({', '.join(FOREIGN_NAMES)}): name yours for the whole source, in "
        "coding or with --coding, or uci if it is UCI's",
    ),
)


def judged(results: Results, window: SourceWindow) -> Results:
    """Refuse the scores of a batch of one source if its last records show another coding.

    `window` is the source's. Records that name their coding are left out of account, and stay scored. Where no record
    shows another coding, a batch costs a microsecond, however large it is.
    """
    return results.without_undeclared(FOREIGN_SOURCE) if window.note(results.evidence()) else results


def refuse_foreign(name: str, records: int) -> DataError:
    """Return the error for a file that shows another coding among its first `records` records."""
    return DataError(
        f"{name} is in another coding of this data than {next(iter(CODINGS))}, as records among its first {records:,} "
        f"show: nothing was scored. There are several: name yours with --coding {', '.join(FOREIGN_NAMES)}, or "
        "--coding uci if it is UCI's after all"
    )
