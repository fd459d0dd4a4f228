"""The result sections of the model card, from the run's report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from training.estimates import MIN_PATIENTS
from training.evaluation.baseline import BASELINE
from training.evaluation.external_validation import ExternalValidation
from training.evaluation.metrics import Performance
from training.evaluation.repeated_cv import COMPLETE
from training.evaluation.results import EvaluationReport, FullEvaluation
from training.report.markdown import images, interval, metric_with_interval, table
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
_EXTERNAL: Final = {
    "roc_auc": "ROC-AUC",
    "accuracy": "accuracy",
    "recall": "sensitivity",
    "specificity": "specificity",
    "brier": "Brier",
    "intercept": "intercept",
    "slope": "slope",
}
_LEFT_OUT: Final = {name: _EXTERNAL[name] for name in ("roc_auc", "accuracy", "recall", "specificity", "brier")}
_GROUPS: Final = {**{name: _EXTERNAL[name] for name in ("roc_auc", "recall", "specificity")}, "bias": "bias of risk"}


def results(report: EvaluationReport, pictures: str | None) -> Iterator[str]:
    """Yield the out-of-fold results on the training patients, which every run has."""
    yield f"## Results\n\nBest model: **{report.selection.best}**: {report.selection.reason}.\n"
    yield from _cross_validations(report)
    yield from images(
        pictures,
        ("calibration", f"Observed share with {report.event} against risk"),
        ("roc", "ROC and precision-recall curves"),
    )
    yield from _where_missing(report)
    yield from images(pictures, ("missing", "Sensitivity, specificity and bias with missing fields"))


def full_results(
    report: EvaluationReport, full: FullEvaluation, pictures: str | None, external: Mapping[str, ExternalValidation]
) -> Iterator[str]:
    """Yield the results of a full run; `external` are further validations of the best model, by hospital."""
    best = report.selection.best
    if full.other_hospitals:
        yield from _hospitals(report, full, external)
        yield from images(pictures, ("hospitals", "ROC-AUC, sensitivity, specificity and bias by hospital"))
    if full.leave_one_hospital_out:
        yield from _left_out(best, full)
    if full.other_hospitals:
        yield from _groups_in_hospitals(best, full)
    yield from _recalibration(best, full)
    if full.subgroups:
        yield from _groups(best, full)
        yield from images(pictures, ("subgroups", "ROC-AUC, sensitivity, specificity and bias by group"))
    yield from _thresholds(full)
    yield from images(pictures, ("decision-curve", "Net benefit against the threshold"))
    yield from _stability(full)
    yield from images(pictures, ("instability", "Width of each patient's risks over bootstrap models"))
    yield from uncertainty_results(report, full)
    yield "### Learning curve and tuning\n"
    yield from images(pictures, ("learning-curve", "ROC-AUC against the number of training patients"))
    yield from _tuning(full)


def _cross_validations(report: EvaluationReport) -> Iterator[str]:
    names = list(report.five_fold)
    yield f"One 5-fold cross-validation (seed {report.seed}), mean ± standard deviation over the folds:\n"
    folds = [report.five_fold[name] for name in names]
    yield table(
        ["", *names],
        ([title, *(f"{of[m].mean:.3f} ± {of[m].std:.3f}" for of in folds)] for m, title in _FIVE_FOLD.items()),
    )
    yield f"{report.repeats} repeats of 5-fold cross-validation, with intervals. {chosen_text(report)}\n"
    whole = [report.missing_fields[COMPLETE][name] for name in names]
    yield table(
        ["", *names],
        ([title, *(metric_with_interval(each, metric) for each in whole)] for metric, title in _REPEATED.items()),
    )


def _where_missing(report: EvaluationReport) -> Iterator[str]:
    best = report.selection.best
    yield (
        f"### Missing fields\n\n{best} and, as a baseline, logistic regression after median and mode imputation; out "
        f"of fold. {DELETED}\n"
    )
    figures = ("recall", "specificity", "bias")
    yield table(
        ["missing", "ROC-AUC", "sensitivity", "specificity", "bias of risk"],
        (
            [name, *(metric_with_interval(of[best], figure) for figure in ("roc_auc", *figures))]
            for name, of in report.missing_fields.items()
        ),
    )
    yield (
        "The baseline, at the same threshold. Where its risks are too low (bias below 0), it has fewer true positives "
        f"and fewer false positives. The last column is its sensitivity at the specificity of {best}, with a threshold "
        "set on the pooled out-of-fold risks: a difference that remains there is due to discrimination, one that "
        "disappears to calibration.\n"
    )
    matched = report.baseline_at_equal_specificity
    yield table(
        ["missing", "ROC-AUC", "sensitivity", "specificity", "bias of risk", "sensitivity at equal specificity"],
        (
            [
                name,
                *(metric_with_interval(of[BASELINE], figure) for figure in ("roc_auc", *figures)),
                metric_with_interval(matched[name].performance, "recall") if name in matched else "not estimable",
            ]
            for name, of in report.missing_fields.items()
        ),
    )


def _hospitals(
    report: EvaluationReport, full: FullEvaluation, external: Mapping[str, ExternalValidation]
) -> Iterator[str]:
    yield (
        f"## Other hospitals\n\nTrained on {report.data.population}. {FEW} A Brier score above that of the prevalence "
        "means that predicting the hospital's prevalence for everybody would be better.\n"
    )
    for model in (report.selection.best, BASELINE):
        yield f"{model}:\n"
        rows = [
            external_row(full.hospitals[name], site.models[model], site.prevalence_brier)
            for name, site in full.other_hospitals.items()
        ]
        if model == report.selection.best:
            rows += [external_row(name, each.overall, each.prevalence_brier) for name, each in external.items()]
        yield table(["", "patients", "events", *_EXTERNAL.values(), "Brier of prevalence"], rows)


def external_row(name: str, found: Performance, prevalence_brier: float) -> list[str]:
    """Return the row of a hospital in the table of other hospitals."""
    return [*_measured(name, found, _EXTERNAL), f"{prevalence_brier:.2f}"]


def _left_out(best: str, full: FullEvaluation) -> Iterator[str]:
    yield f"{best}, leave-one-hospital-out: trained on all hospitals but one, tested on that one:\n"
    yield table(
        ["left out", "patients", "events", *_LEFT_OUT.values()],
        (_measured(full.hospitals[name], of[best], _LEFT_OUT) for name, of in full.leave_one_hospital_out.items()),
    )


def _groups_in_hospitals(best: str, full: FullEvaluation) -> Iterator[str]:
    yield f"### Groups in other hospitals\n\n{best}, by hospital. {COUNTED}\n"
    for name, site in full.other_hospitals.items():
        yield f"{full.hospitals[name]}:\n"
        yield table(
            ["", "patients", "events", "sensitivity", "specificity", "bias of risk"],
            (
                [group, str(of.patients), str(of.events), *_counts(of), metric_with_interval(of, "bias")]
                for group, of in site.groups.items()
            ),
        )


def _counts(found: Performance) -> Iterator[str]:
    """Format sensitivity and specificity as counts: x of y, with the interval of the proportion."""
    for figure, patients in (("recall", found.events), ("specificity", found.patients - found.events)):
        share = found.figures.get(figure)
        yield f"{share.value * patients:.0f} of {patients}: {interval(share)}" if share else "nobody"


def _recalibration(best: str, full: FullEvaluation) -> Iterator[str]:
    yield (
        "### Recalibration with few outcomes\n\nSimulated: outcomes are drawn at a hospital, and the proposed shift is "
        "applied to all its patients. The training hospital needs no shift, so any proposal there makes risks worse "
        "and should be rare and small.\n"
    )
    yield harm_table({best: full.recalibration_harm}, full.hospitals)


def _groups(best: str, full: FullEvaluation) -> Iterator[str]:
    yield (
        "## Subgroups\n\nOut of fold. The data do not include race or ethnicity. For groups with fewer than 20 "
        "patients of either outcome, sensitivity and specificity are counts, of labels of each patient's mean risk "
        "over the repeats.\n"
    )
    yield table(
        ["", "patients", "events", *_GROUPS.values()],
        (_group(name, of[best]) for name, of in full.subgroups.items()),
    )


def _group(name: str, found: Performance) -> list[str]:
    row = _measured(name, found, _GROUPS)
    if min(found.events, found.patients - found.events) < MIN_PATIENTS:
        first = len(row) - len(_GROUPS) + list(_GROUPS).index("recall")
        row[first : first + 2] = _counts(found)
    return row


def _measured(name: str, found: Performance, figures: dict[str, str]) -> list[str]:
    return [name, str(found.patients), str(found.events), *(metric_with_interval(found, figure) for figure in figures)]


def _thresholds(full: FullEvaluation) -> Iterator[str]:
    yield (
        "## Thresholds\n\nLabels of each patient's mean risk over the repeats. Net benefit weights a false positive by "
        "the odds of the threshold. No threshold is recommended.\n"
    )
    yield table(
        ["threshold", "sensitivity", "specificity", "PPV", "NPV", "net benefit", "net benefit of treating all"],
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
            for t in full.curves.thresholds
        ),
    )


def _stability(full: FullEvaluation) -> Iterator[str]:
    found = full.instability
    yield "## Uncertainty of a risk\n"
    yield (
        f"Over {found.models} bootstrap models, the central 95% of a patient's risks span {found.median_width:.2f} "
        f"(median; {found.median_width_unsure:.2f} for risks of 0.3 to 0.7), and {found.changing:.0%} of patients "
        "change their label in more than 5% of the models. Therefore a score has an interval.\n"
    )


def _tuning(full: FullEvaluation) -> Iterator[str]:
    yield "Nested tuning (log loss, inner 5-fold) and its performance out of fold:\n"
    yield table(
        ["", "parameter", "by fold", "on all rows", "ROC-AUC", "log loss", "calibration slope"],
        (
            [
                name,
                t.parameter,
                ", ".join(f"{v:g}" for v in t.by_fold),
                f"{t.on_all_rows:g}",
                *(metric_with_interval(full.tuning_performance[name], f) for f in ("roc_auc", "log_loss", "slope")),
            ]
            for name, t in full.tuning.items()
        ),
    )
    yield f"Permuted labels are predicted with ROC-AUC {full.permuted_labels_roc_auc:.2f} (0.5 without leakage).\n"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.2f}"
