"""The results in the model card, a section each, from the run's report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from training.card_text import CHOSEN_HERE, DELETED
from training.card_uncertainty import uncertainty_results
from training.explore import SITE_NAMES
from training.markdown import pictures_of, ranged, table
from training.measures import Performance
from training.report import Deep, Report
from training.usual import USUAL
from training.validation import COMPLETE

_FIVE_FOLD: Final = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall (sensitivity)",
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "brier": "Brier",
    "log_loss": "Log loss",
}
_REPEATED: Final = {
    **_FIVE_FOLD,
    "specificity": "Specificity",
    "slope": "Calibration slope",
    "intercept": "Calibration intercept",
}
_ELSEWHERE: Final = {
    "roc_auc": "ROC-AUC",
    "accuracy": "accuracy",
    "recall": "sensitivity",
    "specificity": "specificity",
    "brier": "Brier",
    "intercept": "intercept",
    "slope": "slope",
}
_LEFT_OUT: Final = {name: _ELSEWHERE[name] for name in ("roc_auc", "accuracy", "recall", "brier")}
_GROUPS: Final = {**{name: _ELSEWHERE[name] for name in ("roc_auc", "recall", "specificity")}, "bias": "bias of risk"}


def results(report: Report, pictures: str | None) -> Iterator[str]:
    """Write what every run finds on the training patients, out of fold."""
    yield f"## Results\n\nBest model: **{report.choice.best}**: {report.choice.reason}.\n"
    yield from _cross_validations(report)
    yield from pictures_of(
        pictures, ("calibration", "Share with disease against risk"), ("roc", "ROC and precision-recall curves")
    )
    yield from _where_missing(report)
    yield from pictures_of(pictures, ("missing", "Sensitivity and bias where fields are missing"))


def deep_results(report: Report, deep: Deep, pictures: str | None) -> Iterator[str]:
    """Write what a run finds that is not quick."""
    best = report.choice.best
    yield from _hospitals(best, deep)
    yield from pictures_of(pictures, ("hospitals", "ROC-AUC, sensitivity and bias by hospital"))
    yield from _left_out(best, deep)
    yield from _groups(best, deep)
    yield from pictures_of(pictures, ("subgroups", "ROC-AUC, sensitivity and bias by group"))
    yield from _thresholds(deep)
    yield from pictures_of(pictures, ("decision-curve", "Net benefit against the threshold"))
    yield from _stability(deep)
    yield from pictures_of(pictures, ("instability", "Width of each patient's risks over bootstrap models"))
    yield from uncertainty_results(deep)
    yield "### More patients, other parameters\n"
    yield from pictures_of(pictures, ("learning-curve", "ROC-AUC against patients trained on"))
    yield from _tuning(deep)


def _cross_validations(report: Report) -> Iterator[str]:
    names = list(report.five_fold)
    yield f"One 5-fold cross-validation (seed {report.seed}), mean ± standard deviation over the folds:\n"
    folds = [report.five_fold[name] for name in names]
    yield table(
        ["", *names],
        ([title, *(f"{of[m].mean:.3f} ± {of[m].std:.3f}" for of in folds)] for m, title in _FIVE_FOLD.items()),
    )
    yield f"{report.repeats} repeats of 5-fold cross-validation, with intervals. {CHOSEN_HERE}\n"
    whole = [report.lacking[COMPLETE][name] for name in names]
    yield table(
        ["", *names], ([title, *(ranged(each, metric) for each in whole)] for metric, title in _REPEATED.items())
    )


def _where_missing(report: Report) -> Iterator[str]:
    best = report.choice.best
    yield (
        f"### Where fields are missing\n\n{best} beside the usual pipeline, which puts median or mode in place of what "
        f"is missing; out of fold. {DELETED}\n"
    )
    shown = [(best, "roc_auc"), (best, "recall"), (best, "bias"), (USUAL, "recall"), (USUAL, "bias")]
    yield table(
        ["missing", "ROC-AUC", "sensitivity", "bias of risk", "usual: sensitivity", "usual: bias of risk"],
        ([name, *(ranged(of[model], figure) for model, figure in shown)] for name, of in report.lacking.items()),
    )


def _hospitals(best: str, deep: Deep) -> Iterator[str]:
    yield (
        "## Other hospitals\n\nTrained in Cleveland. Where fewer than 20 patients have an outcome, what rests on them "
        "is not estimated. A Brier score above that of the prevalence means that telling everybody the hospital's "
        "prevalence would be better.\n"
    )
    for model in (best, USUAL):
        yield f"{model}:\n"
        yield table(
            ["", "patients", "events", *_ELSEWHERE.values(), "Brier of prevalence"],
            (
                [*_measured(SITE_NAMES[name], site.models[model], _ELSEWHERE), f"{site.prevalence_brier:.2f}"]
                for name, site in deep.elsewhere.items()
            ),
        )


def _left_out(best: str, deep: Deep) -> Iterator[str]:
    yield f"{best}, trained on three hospitals and asked about the fourth:\n"
    yield table(
        ["left out", "patients", "events", *_LEFT_OUT.values()],
        (_measured(SITE_NAMES[name], of[best], _LEFT_OUT) for name, of in deep.left_out.items()),
    )


def _groups(best: str, deep: Deep) -> Iterator[str]:
    yield "## Groups of patients\n\nOut of fold. The data say nothing of race or ethnicity.\n"
    yield table(
        ["", "patients", "events", *_GROUPS.values()],
        (_measured(name, of[best], _GROUPS) for name, of in deep.subgroups.items()),
    )


def _measured(name: str, found: Performance, figures: dict[str, str]) -> list[str]:
    return [name, str(found.patients), str(found.events), *(ranged(found, figure) for figure in figures)]


def _thresholds(deep: Deep) -> Iterator[str]:
    yield (
        "## Thresholds\n\nLabels of each patient's mean risk over the repeats. Net benefit weighs a false alarm by the "
        "odds of the threshold; no threshold is recommended.\n"
    )
    yield table(
        ["threshold", "sensitivity", "specificity", "PPV", "NPV", "net benefit", "of acting on all"],
        (
            [
                f"{t.threshold:.2f}",
                f"{t.sensitivity:.2f}",
                f"{t.specificity:.2f}",
                _share(t.positive_predictive_value),
                _share(t.negative_predictive_value),
                f"{t.net_benefit:+.3f}",
                f"{t.net_benefit_of_treating_all:+.3f}",
            ]
            for t in deep.thresholds
        ),
    )


def _stability(deep: Deep) -> Iterator[str]:
    moves = deep.instability
    yield "## How certain a risk is\n"
    yield (
        f"Over {moves.models} models from bootstrap samples, 95% of a patient's risks span {moves.median_width:.2f} "
        f"(median; {moves.median_width_unsure:.2f} for risks of 0.3 to 0.7), and {moves.changing:.0%} of patients "
        "change their label in more than 5% of the models: a score carries an interval.\n"
    )


def _tuning(deep: Deep) -> Iterator[str]:
    yield "Nested tuning (log loss, inner 5-fold) and what it is worth on patients it did not see:\n"
    yield table(
        ["", "parameter", "by fold", "on all rows", "ROC-AUC", "log loss", "calibration slope"],
        (
            [
                name,
                t.parameter,
                ", ".join(f"{v:g}" for v in t.by_fold),
                f"{t.on_all_rows:g}",
                *(ranged(deep.tuned_performance[name], f) for f in ("roc_auc", "log_loss", "slope")),
            ]
            for name, t in deep.tuned.items()
        ),
    )
    yield f"Labels dealt out at random are predicted with ROC-AUC {deep.shuffled_roc_auc:.2f} (0.5 without a leak).\n"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.2f}"
