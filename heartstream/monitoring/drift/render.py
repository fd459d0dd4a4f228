"""What was found, as a table on a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from heartstream.monitoring.drift.counting import Counted
from heartstream.monitoring.drift.verdict import Verdict, much_of, number, percent, word_for
from heartstream.terminal.printable import printable
from schemas.features import FEATURE_NAMES
from scoring.drift import ENOUGH_RECORDS

NOTE = "Drift says nothing of whether the risks are right: only outcomes can (heartstream outcomes)."


def told(counted: Counted, verdict: Verdict) -> str:
    """Return all of it as text."""
    drift, model = counted.drift, counted.model
    head = (
        f"{model.name} {model.version} ({model.digest}), {drift.records:,} records, {counted.tally.rejected:,} rejected"
    )
    lines = [printable(head), f"{'':10}{'PSI':>8}{'missing':>10}{'out of range':>14}"]
    for name in FEATURE_NAMES:
        figures = (number(drift.psi[name]), percent(drift.missing[name], "+"), percent(drift.out_of_range[name]))
        much = ", ".join(much_of(drift, name))
        lines.append(f"{name:10}{figures[0]:>8}{figures[1]:>10}{figures[2]:>14}  {much}".rstrip())
    lines.append(f"{'risks':10}{number(drift.score_psi):>8}{'':24}  {_of_risks(verdict)}".rstrip())
    return "\n".join([*lines, *_summary(verdict), NOTE, ""])


def as_json(counted: Counted, verdict: Verdict) -> bytes:
    """Return all of it as a line of JSON."""
    document = {
        **msgspec.to_builtins(verdict),
        "drifts": verdict.drifts,
        "rejected": counted.tally.codes,
        "note": NOTE,
    }
    return msgspec.json.encode(document) + b"\n"


def _summary(verdict: Verdict) -> Iterator[str]:
    if verdict.drift.records < ENOUGH_RECORDS:
        yield f"Nothing is told of fewer than {ENOUGH_RECORDS} records: chance alone would look like drift."
    elif verdict.drifts:
        what = [*verdict.fields, *(["the risks"] if verdict.scores else [])]
        yield f"Drift: {', '.join(what)}."
    else:
        yield "No drift."


def _of_risks(verdict: Verdict) -> str:
    return f"distributed otherwise ({word_for(verdict.drift.score_psi)})" if verdict.scores else ""
