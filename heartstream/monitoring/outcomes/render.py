"""The output of `heartstream outcomes`: text and JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from heartstream.monitoring.outcomes.calibration import CalibrationMetrics, ModelCalibration, OutcomesReport
from heartstream.monitoring.outcomes.join import LeftOut
from heartstream.terminal.printable import printable
from heartstream.terminal.wrapping import filled
from training.estimates import Estimate
from training.evaluation.recalibration import MAX_HARM, MIN_OUTCOMES, Advice, Proposal

NOTE: Final = (
    "Outcomes are known only for patients who were tested, often because of a high risk (verification bias). These "
    "results apply to them."
)
_LEFT_OUT: Final = {
    "unreadable": "are not outcomes (see known-outcome.schema.json)",
    "older": "exceed the number that is kept (--outcomes)",
    "without_score": "have no score on the topic",
    "other_patient": "name a record of another patient",
    "repeated": "are repeated",
    "contradictory": "contradict each other: their scores are excluded",
    "unreadable_scores": "scores are unreadable",
}
_ADVICE: Final = {
    Advice.WAIT: f"No proposal yet: it needs {MIN_OUTCOMES} outcomes, of both kinds.",
    Advice.LEAVE: "Do not recalibrate: these outcomes do not show with 98% confidence that risks are off on average.",
    Advice.RECALIBRATE: "Recalibrate: risks are off on average; the proposed shift is the 98% confidence limit nearest "
    "to 0. In simulations on three other hospitals, a shift proposed by this rule made risks worse in at most "
    f"{MAX_HARM * 100:.0f} of 100 cases (docs/drift.md). First find out why they are off; then adapt the model to "
    "these patients: heartstream adapt --data, or --outcomes for the shift.",
    Advice.LOOK_CLOSER: "Investigate: risks are off on average, but a shift would not improve them. Their order or "
    "spread is wrong, too: heartstream adapt --data.",
}


def render_text(report: OutcomesReport) -> str:
    """Return the text output."""
    lines = [line for calibration in report.models for line in _model_lines(calibration)]
    if not report.models:
        lines += ["No outcome belongs to a score.", ""]
    lines += list(_left_out(report.left_out))
    return "\n".join([*lines, filled(NOTE), ""])


def render_json(report: OutcomesReport) -> bytes:
    """Return the output as one line of JSON."""
    return msgspec.json.encode({**msgspec.to_builtins(report), "note": NOTE}) + b"\n"


def _model_lines(calibration: ModelCalibration) -> Iterator[str]:
    model, all_outcomes, last = calibration.model, column(calibration.all), column(calibration.last)
    yield printable(f"{model.name} {model.version} ({model.digest})")
    yield f"  {'':24}{'all':>24}{f'last {calibration.window}':>24}"
    yield from (f"  {name:24}{text:>24}{last[name]:>24}" for name, text in all_outcomes.items())
    yield from _proposal(calibration.proposal)
    yield ""


def column(metrics: CalibrationMetrics) -> dict[str, str]:
    """Return formatted metrics, by name."""
    return {
        "outcomes": str(metrics.outcomes),
        "with disease": str(metrics.events),
        "mean risk": f"{metrics.mean_risk:.3f}",
        "observed / expected": _ranged(metrics.observed_expected),
        "Brier": f"{metrics.brier:.3f}",
        "Brier of a constant": f"{metrics.constant_brier:.3f}",
        "log-odds too low by": _ranged(metrics.intercept),
        "calibration slope": _number(metrics.slope),
        "ROC-AUC": _number(metrics.roc_auc),
    }


def _proposal(proposal: Proposal) -> Iterator[str]:
    shift = proposal.shift
    if shift is not None:
        yield f"  shift of log-odds {shift.value:+.2f} ({shift.low:+.2f} to {shift.high:+.2f})"
    if proposal.proposed:
        brier = f"Brier of these patients {proposal.brier_before:.3f} -> {proposal.brier_after:.3f}"
        yield f"  proposed shift {proposal.proposed:+.2f}: {brier}"
    yield filled(_ADVICE[proposal.advice], "  ")


def _left_out(left_out: LeftOut) -> Iterator[str]:
    counts = {name: getattr(left_out, name) for name in _LEFT_OUT}
    if any(counts.values()):
        yield "Excluded:"
        yield from (f"  {count} {_LEFT_OUT[name]}" for name, count in counts.items() if count)
        yield ""


def _ranged(estimate: Estimate | None) -> str:
    return "-" if estimate is None else f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
