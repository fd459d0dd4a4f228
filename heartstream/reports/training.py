"""The tables of `heartstream train`: title, headings and rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from heartstream.reports.training_uncertainty import uncertainty_tables

if TYPE_CHECKING:
    from training.estimates import Estimate
    from training.evaluation.results import FullEvaluation
    from training.pipeline import TrainingResult

Table = tuple[str, Sequence[str], Iterator[Sequence[str]]]

_METRICS: Final = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "brier": "Brier score",
    "log_loss": "Log loss",
}
_OURS: Final = {"roc_auc": "AUC", "recall": "Sens.", "specificity": "Spec.", "bias": "Bias"}
_ELSEWHERE: Final = {**_OURS, "accuracy": "Accuracy", "brier": "Brier"}


def tables(report: TrainingResult) -> Iterator[Table]:
    """Yield the tables, most important first."""
    names = [evaluation.name.replace("_", "_\n", 1) for evaluation in report.cross_validations]
    yield "5-fold cross-validation, mean ± standard deviation over the folds:", ["", *names], _five_fold(report)
    findings, best = report.evaluation, report.selection.best
    yield (
        (
            f"{best} with missing fields, and the usual pipeline (median and mode\n"
            f"imputation), {findings.repeats} cross-validations. Bias is mean risk minus prevalence. Last\n"
            "column: the usual pipeline's sensitivity at the same specificity, with a\nthreshold chosen on these risks:"
        ),
        [
            "missing",
            *(f"\n{title}" for title in _OURS.values()),
            "usual:\nSens.",
            "\nSpec.",
            "\nBias",
            "Sens. at\n= Spec.",
        ],
        _lacking(report),
    )
    if findings.full is not None and findings.full.other_hospitals:
        sites = [findings.full.hospitals[name] for name in findings.full.other_hospitals]
        title = (
            f"{best} in other hospitals (95% intervals; prevalence:\n"
            "Brier score of predicting the prevalence for everybody):"
        )
        yield title, ["", *sites], _other_hospitals(report)
    if findings.full is not None:
        yield (
            f"Simulated effect of recalibrating {best} on this many outcomes\nof a hospital:",
            ["", "outcomes", "proposed", "of these,\nworse", "Brier:\ngain", "\npossible"],
            _recalibration(findings.full, best),
        )
        yield from uncertainty_tables(findings, findings.full)


def _five_fold(report: TrainingResult) -> Iterator[Sequence[str]]:
    for metric, title in _METRICS.items():
        figures = (evaluation.metrics[metric] for evaluation in report.cross_validations)
        yield [title, *(f"{figure.mean:.3f} ± {figure.std:.3f}" for figure in figures)]
    yield ["Calibration slope", *(f"{evaluation.calibration_slope:.2f}" for evaluation in report.cross_validations)]


def _lacking(report: TrainingResult) -> Iterator[Sequence[str]]:
    from training.evaluation.baseline import BASELINE  # noqa: PLC0415  # only where something was trained

    findings = report.evaluation
    for lacking, models in findings.missing_fields.items():
        matched = findings.baseline_at_equal_specificity.get(lacking)
        equal = matched.performance.figures if matched else {}
        yield [
            lacking,
            *(_figure(models[report.selection.best].figures, name) for name in _OURS),
            *(_figure(models[BASELINE].figures, name) for name in ("recall", "specificity", "bias")),
            _figure(equal, "recall"),
        ]


def _figure(figures: Mapping[str, Estimate], name: str) -> str:
    if name not in figures:
        return "-"
    return _signed(figures[name].value) if name == "bias" else f"{figures[name].value:.2f}"


def _signed(number: float) -> str:
    """Return a number with its sign; avoids -0.00."""
    return f"{round(number, 2) + 0.0:+.2f}"


def _other_hospitals(report: TrainingResult) -> Iterator[Sequence[str]]:
    """Yield one row per metric: hospitals as columns fit a terminal."""
    from training.report.markdown import metric_with_interval  # noqa: PLC0415  # only where something was trained

    sites = report.evaluation.full.other_hospitals.values() if report.evaluation.full else ()
    found = [site.models[report.selection.best] for site in sites]
    yield ["patients", *(str(site.patients) for site in sites)]
    yield ["events", *(str(site.events) for site in sites)]
    for figure, title in _ELSEWHERE.items():
        yield [title, *(metric_with_interval(of, figure) for of in found)]
    yield ["prevalence", *(f"{site.prevalence_brier:.2f}" for site in sites)]


def _recalibration(deep: FullEvaluation, best: str) -> Iterator[Sequence[str]]:
    from training.report.recalibration_table import harm_rows  # noqa: PLC0415  # only where something was trained

    for row in harm_rows({best: deep.recalibration_harm}, deep.hospitals):
        yield [row[0], *row[2:-1]]
