"""What `heartstream train` prints of its report: a title, headings and rows for each table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from training.measures import Estimate
    from training.run import TrainingReport

Table = tuple[str, Sequence[str], Iterator[Sequence[str]]]

_METRICS: Final = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "brier": "Brier score",
    "log_loss": "Log loss",
}


def tables(report: TrainingReport) -> Iterator[Table]:
    """Yield the tables, most asked for first."""
    names = [evaluation.name for evaluation in report.evaluations]
    yield "5-fold cross-validation, mean ± standard deviation over the folds:", ["", *names], _five_fold(report)
    findings, best = report.findings, report.choice.best
    yield (
        f"{best} with fields missing ({findings.repeats} cross-validations, 95% intervals), and the usual pipeline:",
        ["missing", "ROC-AUC", "Sensitivity", "Risk less truth", "usual: Sensitivity", "Risk less truth"],
        _lacking(report),
    )
    if findings.deep is not None:
        yield (
            f"{best}, trained in Cleveland, in other hospitals (95% intervals):",
            ["", "patients", "events", "ROC-AUC", "Accuracy", "Sensitivity", "Brier", "of prevalence"],
            _elsewhere(report),
        )


def _five_fold(report: TrainingReport) -> Iterator[Sequence[str]]:
    for metric, title in _METRICS.items():
        figures = (evaluation.metrics[metric] for evaluation in report.evaluations)
        yield [title, *(f"{figure.mean:.3f} ± {figure.std:.3f}" for figure in figures)]
    yield ["Calibration slope", *(f"{evaluation.calibration_slope:.2f}" for evaluation in report.evaluations)]


def _lacking(report: TrainingReport) -> Iterator[Sequence[str]]:
    from training.usual import USUAL  # noqa: PLC0415  # only where something was trained

    for lacking, models in report.findings.lacking.items():
        ours, usual = models[report.choice.best].figures, models[USUAL].figures
        yield [
            lacking,
            _range(ours["roc_auc"]),
            _range(ours["recall"]),
            f"{ours['bias'].value:+.2f}",
            f"{usual['recall'].value:.2f}",
            f"{usual['bias'].value:+.2f}",
        ]


def _elsewhere(report: TrainingReport) -> Iterator[Sequence[str]]:
    deep = report.findings.deep
    for name, site in deep.elsewhere.items() if deep else ():
        found = site.models[report.choice.best].figures
        figures = (_range(found[figure]) for figure in ("roc_auc", "accuracy", "recall", "brier"))
        yield [name, str(site.patients), str(site.events), *figures, f"{site.prevalence_brier:.2f}"]


def _range(figure: Estimate) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"
