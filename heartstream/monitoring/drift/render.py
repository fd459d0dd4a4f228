"""Drift as text and as JSON."""

from __future__ import annotations

import msgspec

from heartstream.monitoring.drift.counting import DriftCounts
from heartstream.monitoring.drift.verdict import Verdict, exceeded_limits, number, percent, psi_level
from heartstream.terminal.printable import printable
from heartstream.terminal.wrapping import wrapped
from scoring.drift import ENOUGH_RECORDS

NOTE = "Drift does not show whether risks are accurate: only outcomes do (heartstream outcomes)."


def render_text(counts: DriftCounts, verdict: Verdict) -> str:
    """Return the text output."""
    drift, model = counts.drift, counts.model
    head = (
        f"{model.name} {model.version} ({model.digest}), {drift.records:,} records, {counts.tally.rejected:,} rejected"
    )
    width = max(10, *(len(name) + 2 for name in counts.table.names))
    lines = [*wrapped(printable(head), others="  "), f"{'':{width}}{'PSI':>8}{'missing':>10}{'out of range':>14}"]
    for name in counts.table.names:
        figures = (number(drift.psi[name]), percent(drift.missing[name], "+"), percent(drift.out_of_range[name]))
        much = ", ".join(exceeded_limits(drift, name))
        row = f"{name:{width}}{figures[0]:>8}{figures[1]:>10}{figures[2]:>14}"
        lines += wrapped(much, f"{row}  ", " " * (len(row) + 2)) or [row]
    lines.append(f"{'risks':{width}}{number(drift.score_psi):>8}{'':24}  {_of_risks(verdict)}".rstrip())
    return "\n".join([*lines, *wrapped(_summary(verdict), others="  "), *wrapped(NOTE), ""])


def render_json(counts: DriftCounts, verdict: Verdict) -> bytes:
    """Return the output as one line of JSON."""
    document = {
        **msgspec.to_builtins(verdict),
        "drifts": verdict.drifts,
        "rejected": counts.tally.codes,
        "note": NOTE,
    }
    return msgspec.json.encode(document) + b"\n"


def _summary(verdict: Verdict) -> str:
    if verdict.drift.records < ENOUGH_RECORDS:
        return f"Fewer than {ENOUGH_RECORDS} records: not evaluated, as chance alone would look like drift."
    if verdict.drifts:
        what = [*verdict.fields, *(["the risks"] if verdict.scores else [])]
        return f"Drift: {', '.join(what)}."
    return "No drift."


def _of_risks(verdict: Verdict) -> str:
    return f"different distribution ({psi_level(verdict.drift.score_psi)})" if verdict.scores else ""
