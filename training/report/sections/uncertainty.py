"""The uncertainty sections of the model card: intervals, label sets and what to measure next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from training.estimates import MIN_PATIENTS, wilson_interval
from training.evaluation.interval_simulation import IntervalCoverage
from training.evaluation.label_sets import Covered, LabelSetCoverage
from training.evaluation.measure_next import MeasureNextBenefit
from training.evaluation.results import EvaluationReport, FullEvaluation
from training.report.markdown import interval, table
from training.report.sections import uci_heart

_TRAINING: Final = "training patients"


def uncertainty_results(report: EvaluationReport, full: FullEvaluation) -> Iterator[str]:
    """Yield the sections."""
    if full.interval_coverage:
        yield from _intervals(full.interval_coverage)
    yield from _label_sets(report, full)
    if full.measure_next:
        yield from _measure_next(full.measure_next)
        if uci_heart.is_builtin(report):
            yield f"{uci_heart.INVASIVE}\n"


def _intervals(found: tuple[IntervalCoverage, ...]) -> Iterator[str]:
    truths = list(found[0].other_model)
    yield (
        "### Intervals\n\nThe claim of a 90% interval: if all fields were measured, and the model trained on other "
        "patients of the same population, the risk would lie inside in 90 of 100 cases. (Fields that fewer than half "
        "of the training patients have are excepted.) Verified by simulation: outcomes are drawn from a regression "
        "that represents the truth (with the model's penalty, and with a tenth of it, for more extreme true risks). "
        "One model and its intervals are fitted to one sample, a second model to an independent sample of the same "
        "size. The interval does not claim to cover the true risk; its coverage of that is shown for comparison. The "
        f"standard error of the simulation is {max(each.error for each in found):.3f}.\n"
    )
    yield table(
        [
            "missing",
            *(f"other model's risk inside (truth {truth})" for truth in truths),
            *(f"true risk inside (truth {truth})" for truth in truths),
            "lowest of the patient groups",
            "median width",
        ],
        (
            [
                each.missing_fields,
                *(f"{each.other_model[truth]:.2f}" for truth in truths),
                *(f"{each.true_risk[truth]:.2f}" for truth in truths),
                f"{min(each.by_group.values()):.2f}",
                f"{each.width:.2f}",
            ]
            for each in found
        ),
    )


def _label_sets(report: EvaluationReport, full: FullEvaluation) -> Iterator[str]:
    yield (
        "### Label sets\n\nA conformal label set should have the true label for 90 of 100 training patients of either "
        "outcome, within each patient group (within similar groups where fewer than 10 have "
        f"the outcome). Measured with limits set inside each fold; {full.coverage.single:.0%} of the sets have a "
        "single label. A single label is not certain: about 10 of 100 patients with the other outcome get it, too. In "
        "other hospitals the coverage is not guaranteed:\n"
    )
    gap = {f"{_TRAINING}, without {report.common_gap}": full.coverage_with_gap} if full.coverage_with_gap else {}
    other_hospitals = {
        full.hospitals[name]: site.coverage for name, site in full.other_hospitals.items() if site.coverage
    }
    yield table(
        ["", "patients", f"true label in the set: without {report.event}", f"with {report.event}", "single label"],
        (
            [
                name,
                str(c.patients),
                *(interval(s) if s else "not estimable" for s in (c.without_disease, c.with_disease)),
                f"{c.single:.0%}",
            ]
            for name, c in {_TRAINING: full.coverage, **gap, **other_hospitals}.items()
        ),
    )
    yield (
        "By patient group, the share of patients whose set has the true label (counts for fewer than "
        f"{MIN_PATIENTS} patients; those of training patients are means over two cross-validations):\n"
    )
    yield table(
        ["", "group", f"without {report.event}", f"with {report.event}"],
        (
            [name, group, *map(counted, held)]
            for name, c in {_TRAINING: full.coverage, **gap, **other_hospitals}.items()
            for group, held in by_group(report, c).items()
            if name not in other_hospitals or group not in c.groups
        ),
    )


def by_group(report: EvaluationReport, found: LabelSetCoverage) -> dict[str, tuple[Covered, Covered]]:
    """Return the counts by patient group; for the built-in table, then by sex and by kind of chest pain."""
    return {**found.groups, **(uci_heart.wider_groups(found.groups) if uci_heart.is_builtin(report) else {})}


def counted(found: Covered) -> str:
    """Format a proportion with its 95% interval; for few patients, the counts alone."""
    if found.patients < MIN_PATIENTS:
        return f"{found.covered:g} of {found.patients}" if found.patients else "-"
    return f"{interval(wilson_interval(round(found.covered), found.patients))} of {found.patients}"


def _measure_next(found: tuple[MeasureNextBenefit, ...]) -> Iterator[str]:
    yield (
        "### What to measure next\n\nFor a record with several missing fields, a score names the field whose "
        "measurement is expected to bring the risk nearest to that of the complete record. Evaluated on complete "
        "patients of the test folds: mean absolute difference from the risk of the complete record, before, after "
        "restoring the recommended field, and after restoring each other field. The last column compares the "
        "recommended field with the best one in hindsight (95% interval; below 0 the recommendation is better). Costs "
        "and risks of the tests are not considered.\n"
    )
    yield table(
        ["missing", "before", "recommended", "one field for everybody", "recommended minus the best in hindsight"],
        (
            [
                each.missing_fields,
                f"{each.before:.3f}",
                f"{each.recommended:.3f}",
                ", ".join(f"{name} {away:.3f}" for name, away in sorted(each.others.items(), key=lambda pair: pair[1])),
                interval(each.excess, 3),
            ]
            for each in found
        ),
    )
