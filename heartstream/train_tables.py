"""What `heartstream train` prints of its report: a title, headings and rows for each table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
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
        (
            f"{best} with fields missing ({findings.repeats} cross-validations, 95% intervals), and the usual pipeline "
            "(median and mode); bias is mean risk less prevalence:"
        ),
        ["missing", "ROC-AUC", "Sensitivity", "Bias", "usual: Sensitivity", "usual: Bias"],
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
    from training.markdown import ranged  # noqa: PLC0415  # only where something was trained
    from training.usual import USUAL  # noqa: PLC0415  # the same

    for lacking, models in report.findings.lacking.items():
        best, usual = models[report.choice.best], models[USUAL].figures
        yield [
            lacking,
            ranged(best, "roc_auc"),
            ranged(best, "recall"),
            f"{round(best.figures['bias'].value, 2) + 0.0:+.2f}",
            f"{usual['recall'].value:.2f}",
            f"{round(usual['bias'].value, 2) + 0.0:+.2f}",
        ]


def _elsewhere(report: TrainingReport) -> Iterator[Sequence[str]]:
    from training.explore import SITE_NAMES  # noqa: PLC0415  # only where something was trained
    from training.markdown import ranged  # noqa: PLC0415  # the same

    deep = report.findings.deep
    for name, site in deep.elsewhere.items() if deep else ():
        found = site.models[report.choice.best]
        figures = (ranged(found, figure) for figure in ("roc_auc", "accuracy", "recall", "brier"))
        yield [SITE_NAMES[name], str(site.patients), str(site.events), *figures, f"{site.prevalence_brier:.2f}"]
