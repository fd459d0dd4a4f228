"""The output of `heartstream adapt`: the ladder, and the new model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from heartstream.terminal.printable import printable
from heartstream.terminal.tables import print_line, print_table, print_wrapped
from heartstream.terminal.wrapping import filled
from schemas.records import ModelRef
from training.adaptation import AdaptationResult, Evidence
from training.evaluation.adaptation import Rung
from training.report.adapted_card import LADDER_HEADINGS, ladder_rows
from training.report.markdown import metric_with_interval

VALIDATION: Final = {
    "roc_auc": "ROC-AUC",
    "recall": "Sensitivity",
    "specificity": "Specificity",
    "brier": "Brier",
    "bias": "Bias (mean risk - prevalence)",
    "slope": "Calibration slope",
}
_DONE: Final = {
    Rung.KEEP: "Keep the model as it is: no change is better beyond chance. Nothing was written.",
    Rung.REFUSE: "Do not use this model here: predicting the prevalence for everybody is better, and no rung of the "
    "ladder is better. Nothing was written. Train on these patients, with other fields.",
}


def render_json(model: ModelRef, evidence: Evidence, result: AdaptationResult) -> bytes:
    """Return the result as one line of JSON."""
    labels, verified = evidence.local.labels, result.verified
    found = {
        "model": model,
        "data_sha256": evidence.sha256,
        "patients": len(labels),
        "events": int(labels.sum()),
        "validation": result.validation,
        **msgspec.to_builtins(result.ladder),
        "findings": result.findings,
        "written": None if verified is None else verified.model,
    }
    return msgspec.json.encode(found) + b"\n"


def print_adaptation(output: Path, model: ModelRef, evidence: Evidence, event: str, result: AdaptationResult) -> None:
    """Print the result as text."""
    labels, ladder = evidence.local.labels, result.ladder
    print_line(printable(f"{model.name} {model.version} ({model.digest})"))
    print_wrapped(f"{len(labels)} {evidence.kind}, {int(labels.sum())} with {event}; the model as it is:")
    print_line("")
    figures = ((title, result.validation, name) for name, title in VALIDATION.items())
    print_table(["", "95% interval"], ([title, metric_with_interval(of, name)] for title, of, name in figures))
    print_line("Each rung of the ladder, cross-validated:\n")
    print_table(LADDER_HEADINGS, ladder_rows(ladder.prevalence, ladder.rungs))
    for sentence in (*result.findings, *_not_tried(result)):
        print_line(filled(printable(sentence), others="  "))
    print_line("")
    print_line(filled(_outcome(output, result)))


def _not_tried(result: AdaptationResult) -> Iterator[str]:
    yield from (f"{rung} was not tried: {reason}." for rung, reason in result.ladder.not_tried.items())


def _outcome(output: Path, result: AdaptationResult) -> str:
    verified, decision = result.verified, result.ladder.decision
    if verified is None:
        return _DONE[decision]
    made = verified.model
    return printable(f"{decision}: {output} is {made.name} {made.version} ({made.digest})")
