"""The output of `heartstream evaluate`: a model on labelled patients, in tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from heartstream.terminal.printable import printable
from heartstream.terminal.tables import print_line, print_table, print_wrapped
from schemas.errors import DependencyError
from training.estimates import MIN_PATIENTS
from training.evaluation.external_validation import ExternalValidation
from training.evaluation.label_sets import LabelSetCoverage
from training.evaluation.metrics import Performance
from training.report.markdown import interval, metric_with_interval

_FIGURES: Final = {
    "roc_auc": "ROC-AUC",
    "accuracy": "Accuracy",
    "recall": "Sensitivity",
    "specificity": "Specificity",
    "brier": "Brier",
    "log_loss": "Log loss",
    "bias": "Bias (mean risk - prevalence)",
    "slope": "Calibration slope",
    "intercept": "Calibration intercept",
}
_OF_GROUPS: Final = {"roc_auc": "ROC-AUC", "recall": "Sensitivity", "specificity": "Specificity", "bias": "Bias"}


def write(result: ExternalValidation, path: Path) -> None:
    """Write all results as JSON. Raises DependencyError."""
    try:
        path.write_bytes(result.as_json())
    except OSError as error:
        raise DependencyError(f"cannot write {path}: {error.strerror}") from error


def print_evaluation(result: ExternalValidation) -> None:
    """Print the evaluation, and what it cannot show."""
    share = result.share
    print_wrapped(f"{result.model} {result.model_version} ({result.model_digest}), labels at {result.threshold:g}")
    print_wrapped(
        f"{result.patients} patients, {result.events} with {result.event}: {interval(share)}, "
        f"mean risk {result.mean_risk:.2f} (95% intervals)"
    )
    if result.trained_on:
        print_wrapped(
            f"The model was trained on {result.trained_on} of these patients: the results below are too optimistic."
        )
    print_line("")
    if min(result.events, result.patients - result.events) < MIN_PATIENTS:
        print_wrapped(f"Fewer than {MIN_PATIENTS} patients of either outcome: too few to evaluate the risks reliably.")
        print_line("")
    if result.overall.figures:
        print_table(["", "95% interval"], _overall(result))
    if result.calibration:
        _print_details(result)
    if result.coverage is not None:
        _print_coverage(result.coverage, result.event)


def _print_details(result: ExternalValidation) -> None:
    print_line("Calibration, by risk:")
    print_table(
        ["mean risk", "patients", f"share with {result.event}"],
        ([f"{each.risk:.2f}", str(each.patients), interval(each.share)] for each in result.calibration),
    )
    _print_groups("By group:", result.groups)
    if result.sites:
        _print_groups("By site:", result.sites)
    _print_groups("By missing fields, most frequent first:", result.patterns)
    print_line("Other thresholds; net benefit of treating by label, and of treating all:")
    print_table(
        ["threshold", "sensitivity", "specificity", "net benefit", "of treating all"],
        (
            [
                f"{each.threshold:.2f}",
                f"{each.sensitivity:.2f}",
                f"{each.specificity:.2f}",
                f"{each.net_benefit:+.3f}",
                f"{each.net_benefit_of_treating_all:+.3f}",
            ]
            for each in result.thresholds
        ),
    )


def _overall(result: ExternalValidation) -> Iterator[list[str]]:
    for name, title in _FIGURES.items():
        yield [title, metric_with_interval(result.overall, name)]
    yield ["Brier of predicting the prevalence", f"{result.prevalence_brier:.2f}"]


def _print_groups(title: str, groups: Mapping[str, Performance]) -> None:
    print_line(title)
    print_table(
        ["", "patients", "events", *_OF_GROUPS.values()],
        (
            [
                printable(group),
                str(of.patients),
                str(of.events),
                *(metric_with_interval(of, name) for name in _OF_GROUPS),
            ]
            for group, of in groups.items()
        ),
    )


def _print_coverage(covers: LabelSetCoverage, event: str) -> None:
    print_line(f"Label sets: coverage (target 90%); {covers.single:.0%} are a single label:")
    print_table(
        ["", "true label in the set"],
        (
            [outcome, interval(share) if share else "not estimable"]
            for outcome, share in ((f"without {event}", covers.without_disease), (f"with {event}", covers.with_disease))
        ),
    )
