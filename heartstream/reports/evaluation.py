"""What was found about a model on labelled patients, in words and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from heartstream.terminal.printable import printable
from heartstream.terminal.tables import print_line, print_table
from schemas.errors import DependencyError
from training.estimates import FEWEST
from training.evaluation.external_validation import Elsewhere
from training.evaluation.label_sets import Coverage
from training.evaluation.metrics import Performance
from training.report.markdown import interval, ranged

_FIGURES: Final = {
    "roc_auc": "ROC-AUC",
    "accuracy": "Accuracy",
    "recall": "Sensitivity",
    "specificity": "Specificity",
    "brier": "Brier",
    "log_loss": "Log loss",
    "bias": "Bias (mean risk less prevalence)",
    "slope": "Calibration slope",
    "intercept": "Calibration intercept",
}
_OF_GROUPS: Final = {"roc_auc": "ROC-AUC", "recall": "Sensitivity", "specificity": "Specificity", "bias": "Bias"}


def write(found: Elsewhere, path: Path) -> None:
    """Write all results as JSON. Raises DependencyError."""
    try:
        path.write_bytes(found.as_json())
    except OSError as error:
        raise DependencyError(f"cannot write {path}: {error.strerror}") from error


def tell(found: Elsewhere) -> None:
    """Print what was found, and what cannot be told."""
    share = found.share
    print_line(f"{found.model} {found.model_version} ({found.model_digest}), labels at {found.threshold:g}")
    print_line(
        f"{found.patients} patients, {found.events} with disease: {interval(share)}, mean risk {found.mean_risk:.2f} "
        "(95% intervals)"
    )
    if found.trained_on:
        print_line(
            f"The model was trained on {found.trained_on} of these patients and knows their outcome: what follows "
            "flatters it."
        )
    print_line("")
    if min(found.events, found.patients - found.events) < FEWEST:
        print_line(
            f"With fewer than {FEWEST} patients of either outcome, little can be said of how good the risks are.\n"
        )
    if found.overall.figures:
        print_table(["", "95% interval"], _overall(found))
    if found.calibration:
        _tell_more(found)
    if found.coverage is not None:
        _tell_coverage(found.coverage)


def _tell_more(found: Elsewhere) -> None:
    print_line("Of patients at a risk, how many have disease:")
    print_table(
        ["mean risk", "patients", "share with disease"],
        ([f"{each.risk:.2f}", str(each.patients), interval(each.share)] for each in found.calibration),
    )
    _tell_groups("By group:", found.groups)
    if found.sites:
        _tell_groups("By site:", found.sites)
    _tell_groups("By what was missing, the commonest:", found.patterns)
    print_line("Labels at other thresholds; net benefit of acting on the label, and on all:")
    print_table(
        ["threshold", "sensitivity", "specificity", "net benefit", "of acting on all"],
        (
            [
                f"{each.threshold:.2f}",
                f"{each.sensitivity:.2f}",
                f"{each.specificity:.2f}",
                f"{each.net_benefit:+.3f}",
                f"{each.net_benefit_of_treating_all:+.3f}",
            ]
            for each in found.thresholds
        ),
    )


def _overall(found: Elsewhere) -> Iterator[list[str]]:
    for name, title in _FIGURES.items():
        yield [title, ranged(found.overall, name)]
    yield ["Brier of saying the prevalence", f"{found.prevalence_brier:.2f}"]


def _tell_groups(title: str, groups: Mapping[str, Performance]) -> None:
    print_line(title)
    print_table(
        ["", "patients", "events", *_OF_GROUPS.values()],
        (
            [printable(group), str(of.patients), str(of.events), *(ranged(of, name) for name in _OF_GROUPS)]
            for group, of in groups.items()
        ),
    )


def _tell_coverage(covers: Coverage) -> None:
    print_line(
        f"Label sets, which are to hold the true label in 90 of 100 ({covers.single:.0%} of them are a single label):"
    )
    print_table(
        ["", "true label in the set"],
        (
            [outcome, interval(share) if share else "not estimable"]
            for outcome, share in (("without disease", covers.without_disease), ("with disease", covers.with_disease))
        ),
    )
