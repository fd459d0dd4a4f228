"""What becomes of the records of a source that shows another coding: none is scored unless it names its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.codings import CODINGS, FOREIGN_NAMES
from schemas.errors import DataError, Fault, FaultCode
from scoring.evidence import SourceWindow, evidence_of
from scoring.pipeline import Lines, Outcome, Rejected, Scored

FOREIGN_SOURCE: Final = Rejected(
    (
        Fault(
            FaultCode.FOREIGN_SOURCE,
            "",
            "the record is legal, but others of its source belong to another coding of this data, so it may mean "
            f"something else; there are several ({', '.join(FOREIGN_NAMES)}): name yours for the whole source, in "
            "coding or with --coding, or uci if it is UCI's",
        ),
    )
)


def exceptions_of(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes that are not the score of a record that names no coding: mostly there are none."""
    return [outcome for outcome in outcomes if type(outcome) is not Scored]


def judged(outcomes: Sequence[Outcome], window: SourceWindow) -> Sequence[Outcome]:
    """Refuse the scores of a batch of one source if its last records show another coding.

    `window` is the source's. Records that name their coding are left out of account, and stay scored.
    """
    undeclared = [place for place, outcome in enumerate(outcomes) if type(outcome) is Scored]
    foreign = [place for place, outcome in enumerate(outcomes) if isinstance(outcome, Rejected) and outcome.is_foreign]
    if not window.note(evidence_of(undeclared, foreign)):
        return outcomes
    return [FOREIGN_SOURCE if type(outcome) is Scored else outcome for outcome in outcomes]


def all_refused(lines: Lines) -> Lines:
    """Refuse all scores of a table's batch whose source shows another coding; none of its rows names its own."""
    rejected = dict.fromkeys(range(lines.scored + len(lines.rejected)), FOREIGN_SOURCE) | dict(lines.rejected)
    nothing = np.empty(0)
    return Lines(b"", nothing, nothing > 0, sorted(rejected.items()), lines.evidence)


def refuse_foreign(name: str, records: int) -> DataError:
    """Return the error for a file that shows another coding among its first `records` records."""
    return DataError(
        f"{name} is in another coding of this data than {next(iter(CODINGS))}, as records among its first {records:,} "
        f"show: nothing was scored. There are several: name yours with --coding {', '.join(FOREIGN_NAMES)}, or "
        "--coding uci if it is UCI's after all"
    )
