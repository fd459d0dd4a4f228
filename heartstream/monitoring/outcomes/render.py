"""What known outcomes say of models, in words."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

import msgspec

from heartstream.monitoring.outcomes.calibration import Figures, Findings, Judgement
from heartstream.monitoring.outcomes.join import LeftOut
from heartstream.terminal.printable import printable
from training.estimates import Estimate
from training.evaluation.recalibration import ENOUGH, HIGHEST_HARM, Advice, Proposal

_WIDTH: Final = 76
NOTE: Final = (
    "Outcomes are known of a part of the patients: those who were sent for the test, often because of a high risk "
    "(verification bias). What is said here is said of them."
)
_LEFT_OUT: Final = {
    "unreadable": "are no outcomes (see known-outcome.schema.json)",
    "older": "are older than those that are held (--outcomes)",
    "without_score": "have no score on the topic",
    "other_patient": "name a record of another patient",
    "repeated": "say again what is known",
    "contradictory": "contradict each other: their scores are left out",
    "unreadable_scores": "scores cannot be read",
}
_ADVICE: Final = {
    Advice.WAIT: f"No proposal yet: it needs {ENOUGH} outcomes, and both kinds of them.",
    Advice.LEAVE: "Leave it: so many outcomes cannot tell for certain (98%) that risks are off on average.",
    Advice.RECALIBRATE: "Recalibrate: risks are off on average; the proposed shift goes as far as is certain (98%). In "
    "simulations on three other hospitals, a shift proposed by this rule made risks worse in at most "
    f"{HIGHEST_HARM * 100:.0f} of 100 cases (docs/drift.md). Ask first why they are off; then train with these "
    "patients, or apply the shift: heartstream model recalibrate.",
    Advice.LOOK_CLOSER: "Look closer: risks are off on average, but a shift would not make them better. Their order or "
    "their spread is wrong too: train with these patients.",
}


def told(findings: Findings) -> str:
    """Return all of it as text."""
    lines = [line for judgement in findings.models for line in _judgement(judgement)]
    if not findings.models:
        lines += ["No outcome belongs to a score.", ""]
    lines += list(_left_out(findings.left_out))
    return "\n".join([*lines, textwrap.fill(NOTE, _WIDTH), ""])


def as_json(findings: Findings) -> bytes:
    """Return all of it as a line of JSON."""
    return msgspec.json.encode({**msgspec.to_builtins(findings), "note": NOTE}) + b"\n"


def _judgement(judgement: Judgement) -> Iterator[str]:
    model, everything, last = judgement.model, column(judgement.all), column(judgement.last)
    yield printable(f"{model.name} {model.version} ({model.digest})")
    yield f"  {'':24}{'all':>24}{f'last {judgement.window}':>24}"
    yield from (f"  {name:24}{text:>24}{last[name]:>24}" for name, text in everything.items())
    yield from _proposal(judgement.proposal)
    yield ""


def column(figures: Figures) -> dict[str, str]:
    """Write figures, by name."""
    return {
        "outcomes": str(figures.outcomes),
        "with disease": str(figures.events),
        "mean risk": f"{figures.mean_risk:.3f}",
        "observed / expected": _ranged(figures.observed_expected),
        "Brier": f"{figures.brier:.3f}",
        "Brier of a constant": f"{figures.constant_brier:.3f}",
        "log-odds too low by": _ranged(figures.intercept),
        "calibration slope": _number(figures.slope),
        "ROC-AUC": _number(figures.roc_auc),
    }


def _proposal(proposal: Proposal) -> Iterator[str]:
    shift = proposal.shift
    if shift is not None:
        yield f"  shift of log-odds {shift.value:+.2f} ({shift.low:+.2f} to {shift.high:+.2f})"
    if proposal.proposed:
        brier = f"Brier of these patients {proposal.brier_before:.3f} -> {proposal.brier_after:.3f}"
        yield f"  proposed shift {proposal.proposed:+.2f}: {brier}"
    yield textwrap.fill(_ADVICE[proposal.advice], _WIDTH, initial_indent="  ", subsequent_indent="  ")


def _left_out(left_out: LeftOut) -> Iterator[str]:
    counts = {name: getattr(left_out, name) for name in _LEFT_OUT}
    if any(counts.values()):
        yield "Left out:"
        yield from (f"  {count} {_LEFT_OUT[name]}" for name, count in counts.items() if count)
        yield ""


def _ranged(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
