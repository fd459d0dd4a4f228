"""The results in the model card, a section each, from the run's report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from training.estimates import FEWEST
from training.evaluation.baseline import USUAL
from training.evaluation.metrics import Performance
from training.evaluation.repeated_cv import COMPLETE
from training.evaluation.results import Deep, Report
from training.report.markdown import interval, pictures_of, ranged, table
from training.report.recalibration_table import harm_table
from training.report.sections.population import chosen_text
from training.report.sections.texts import COUNTED, DELETED, FEW
from training.report.sections.uncertainty import uncertainty_results

_FIVE_FOLD: Final = {
    "accuracy": "Accuracy",
    "precision": "Precision",
    "recall": "Recall (sensitivity)",
    "specificity": "Specificity",
    "f1": "F1",
    "roc_auc": "ROC-AUC",
    "brier": "Brier",
    "log_loss": "Log loss",
}
_REPEATED: Final = {
    **_FIVE_FOLD,
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
_LEFT_OUT: Final = {name: _ELSEWHERE[name] for name in ("roc_auc", "accuracy", "recall", "specificity", "brier")}
_GROUPS: Final = {**{name: _ELSEWHERE[name] for name in ("roc_auc", "recall", "specificity")}, "bias": "bias of risk"}


def results(report: Report, pictures: str | None) -> Iterator[str]:
    """Write what every run finds on the training patients, out of fold."""
    yield f"## Results\n\nBest model: **{report.choice.best}**: {report.choice.reason}.\n"
    yield from _cross_validations(report)
    yield from pictures_of(
        pictures, ("calibration", "Share with disease against risk"), ("roc", "ROC and precision-recall curves")
    )
    yield from _where_missing(report)
    yield from pictures_of(pictures, ("missing", "Sensitivity, specificity and bias where fields are missing"))


def deep_results(report: Report, deep: Deep, pictures: str | None) -> Iterator[str]:
    """Write what a run finds that is not quick."""
    best = report.choice.best
    yield from _hospitals(report, deep)
    yield from pictures_of(pictures, ("hospitals", "ROC-AUC, sensitivity, specificity and bias by hospital"))
    yield from _left_out(best, deep)
    yield from _groups_elsewhere(best, deep)
    yield from _recalibration(best, deep)
    yield from _groups(best, deep)
    yield from pictures_of(pictures, ("subgroups", "ROC-AUC, sensitivity, specificity and bias by group"))
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
    yield f"{report.repeats} repeats of 5-fold cross-validation, with intervals. {chosen_text(report)}\n"
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
    figures = ("recall", "specificity", "bias")
    yield table(
        ["missing", "ROC-AUC", "sensitivity", "specificity", "bias of risk"],
        (
            [name, *(ranged(of[best], figure) for figure in ("roc_auc", *figures))]
            for name, of in report.lacking.items()
        ),
    )
    yield (
        "The usual pipeline, at the same threshold. Where its risks are too low (bias below 0), it finds fewer of the "
        "ill and raises fewer false alarms. The last column is its sensitivity where its specificity is that of "
        f"{best}, by a threshold chosen on the pooled out-of-fold risks: a difference that is left there is one of "
        "ranking, one that goes away is one of calibration.\n"
    )
    matched = report.usual_at_our_specificity
    yield table(
        ["missing", "ROC-AUC", "sensitivity", "specificity", "bias of risk", "sensitivity at equal specificity"],
        (
            [
                name,
                *(ranged(of[USUAL], figure) for figure in ("roc_auc", *figures)),
                ranged(matched[name].performance, "recall") if name in matched else "not estimable",
            ]
            for name, of in report.lacking.items()
        ),
    )


def _hospitals(report: Report, deep: Deep) -> Iterator[str]:
    yield (
        f"## Other hospitals\n\nTrained on {report.data.population}. {FEW} A Brier score above that of the prevalence "
        "means that giving everybody the hospital's prevalence would be better.\n"
    )
    for model in (report.choice.best, USUAL):
        yield f"{model}:\n"
        yield table(
            ["", "patients", "events", *_ELSEWHERE.values(), "Brier of prevalence"],
            (
                [*_measured(deep.hospitals[name], site.models[model], _ELSEWHERE), f"{site.prevalence_brier:.2f}"]
                for name, site in deep.elsewhere.items()
            ),
        )


def _left_out(best: str, deep: Deep) -> Iterator[str]:
    yield f"{best}, trained on all hospitals but one and tested on that one:\n"
    yield table(
        ["left out", "patients", "events", *_LEFT_OUT.values()],
        (_measured(deep.hospitals[name], of[best], _LEFT_OUT) for name, of in deep.left_out.items()),
    )


def _groups_elsewhere(best: str, deep: Deep) -> Iterator[str]:
    yield f"### Groups in other hospitals\n\n{best}, by hospital. {COUNTED}\n"
    for name, site in deep.elsewhere.items():
        yield f"{deep.hospitals[name]}:\n"
        yield table(
            ["", "patients", "events", "sensitivity", "specificity", "bias of risk"],
            (
                [group, str(of.patients), str(of.events), *_counts(of), ranged(of, "bias")]
                for group, of in site.groups.items()
            ),
        )


def _counts(found: Performance) -> Iterator[str]:
    """Write sensitivity and specificity as counts: x of y, and the share's interval."""
    for figure, patients in (("recall", found.events), ("specificity", found.patients - found.events)):
        share = found.figures.get(figure)
        yield f"{share.value * patients:.0f} of {patients}: {interval(share)}" if share else "nobody"


def _recalibration(best: str, deep: Deep) -> Iterator[str]:
    yield (
        "### Recalibration by few outcomes\n\nOutcomes are drawn at a hospital, and the shift that they make certain "
        "is applied to all its patients. Where the model was trained nothing is wrong, so any proposal makes risks "
        "worse: it should be rare and cost little.\n"
    )
    yield harm_table({best: deep.recalibration}, deep.hospitals)


def _groups(best: str, deep: Deep) -> Iterator[str]:
    yield (
        "## Groups of patients\n\nOut of fold. The data say nothing of race or ethnicity. Where fewer than 20 patients "
        "of a group have an outcome, sensitivity and specificity are counts, of labels of each patient's mean risk "
        "over the repeats.\n"
    )
    yield table(
        ["", "patients", "events", *_GROUPS.values()],
        (_group(name, of[best]) for name, of in deep.subgroups.items()),
    )


def _group(name: str, found: Performance) -> list[str]:
    row = _measured(name, found, _GROUPS)
    if min(found.events, found.patients - found.events) < FEWEST:
        first = len(row) - len(_GROUPS) + list(_GROUPS).index("recall")
        row[first : first + 2] = _counts(found)
    return row


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
