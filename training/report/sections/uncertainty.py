"""What the model card says of intervals, label sets and what to measure next: only what the run has counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from scoring.groups import GROUPS
from training.estimates import FEWEST, wilson
from training.evaluation.interval_simulation import IntervalCoverage
from training.evaluation.label_sets import Coverage, Held
from training.evaluation.measure_next import MeasureNext
from training.evaluation.results import Deep
from training.report.markdown import interval, table

_TRAINING: Final = "training patients"
_ALL_MISSING: Final = "slope+ca+thal"


def uncertainty_results(deep: Deep) -> Iterator[str]:
    """Write the sections."""
    if deep.intervals:
        yield from _intervals(deep.intervals)
    yield from _label_sets(deep)
    if deep.measure_next:
        yield from _measure_next(deep.measure_next)


def _intervals(found: tuple[IntervalCoverage, ...]) -> Iterator[str]:
    truths = list(found[0].other_model)
    yield (
        "### Intervals\n\nThe 90% interval claims: were every field measured, and had the model been trained on other "
        "patients of the same kind, the risk would lie inside in 90 of 100 cases. (Fields that fewer than half of the "
        "training patients have do not count among them.) Checked by simulation: outcomes are "
        "drawn from a regression that stands for the truth (with the model's penalty, and with a tenth of it, which "
        "makes true risks more extreme), one model and its intervals are made from one sample, a second model from an "
        "independent one of the same size. The true risk itself is not what the interval claims to hold; how often it "
        f"does is shown beside it. The simulation leaves a standard error of {max(each.error for each in found):.3f}.\n"
    )
    yield table(
        [
            "missing",
            *(f"other model's risk inside (truth {truth})" for truth in truths),
            *(f"true risk inside (truth {truth})" for truth in truths),
            "least of the patient groups",
            "median width",
        ],
        (
            [
                each.lacking,
                *(f"{each.other_model[truth]:.2f}" for truth in truths),
                *(f"{each.true_risk[truth]:.2f}" for truth in truths),
                f"{min(each.by_group.values()):.2f}",
                f"{each.width:.2f}",
            ]
            for each in found
        ),
    )


def _label_sets(deep: Deep) -> Iterator[str]:
    yield (
        "### Label sets\n\nA set is made to have the true label for 90 of 100 training patients of either outcome, of "
        "each sex and kind of chest pain (where fewer than 10 have the outcome, of each kind of chest pain alone). "
        f"Counted with limits set inside each fold; {deep.coverage.single:.0%} of the sets have a single label. A "
        "single label is no certainty: about 10 of 100 patients with the other outcome get it, too. Nothing promises "
        "the same in other hospitals:\n"
    )
    gap = {f"{_TRAINING}, without {_ALL_MISSING}": deep.coverage_with_gap} if deep.coverage_with_gap else {}
    elsewhere = {deep.hospitals[name]: site.coverage for name, site in deep.elsewhere.items() if site.coverage}
    yield table(
        ["", "patients", "true label in the set: without disease", "with disease", "single label"],
        (
            [
                name,
                str(c.patients),
                *(interval(s) if s else "not estimable" for s in (c.without_disease, c.with_disease)),
                f"{c.single:.0%}",
            ]
            for name, c in {_TRAINING: deep.coverage, **gap, **elsewhere}.items()
        ),
    )
    yield (
        "By sex and kind of chest pain, the share of patients whose set has the true label (where they are fewer than "
        f"{FEWEST}, counts; those of training patients are means over two cross-validations):\n"
    )
    yield table(
        ["", "group", "without disease", "with disease"],
        (
            [name, group, *map(counted, held)]
            for name, c in {_TRAINING: deep.coverage, **gap, **elsewhere}.items()
            for group, held in by_group(c).items()
            if name not in elsewhere or group not in GROUPS
        ),
    )


def by_group(found: Coverage) -> dict[str, tuple[Held, Held]]:
    """Return the counts of each patient group, then of each sex and each kind of chest pain."""
    groups = found.groups
    names = list(groups)
    wider = {
        "women": names[:2],
        "men": names[2:],
        "chest pain 1 to 3": names[::2],
        "chest pain 4": names[1::2],
    }
    return {**groups, **{title: _together([groups[name] for name in parts]) for title, parts in wider.items()}}


def _together(parts: list[tuple[Held, Held]]) -> tuple[Held, Held]:
    without, having = (
        Held(sum(part[outcome].patients for part in parts), sum(part[outcome].held for part in parts))
        for outcome in (0, 1)
    )
    return without, having


def counted(found: Held) -> str:
    """Write a share with its 95% interval, or mere counts where they are few."""
    if found.patients < FEWEST:
        return f"{found.held:g} of {found.patients}" if found.patients else "-"
    return f"{interval(wilson(round(found.held), found.patients))} of {found.patients}"


def _measure_next(found: tuple[MeasureNext, ...]) -> Iterator[str]:
    yield (
        "### What to measure next\n\nFor records that lack several fields a score names the one whose measurement is "
        "expected to bring the risk nearest to that of the complete record. Checked on patients in test folds whose "
        "fields are all known: mean absolute difference from the risk of the complete record, before, after the "
        "recommended field was given back, and after each other field was. The last column compares the recommended "
        "field with the best one in hindsight (95% interval; below 0 the recommendation is better). Costs and risks of "
        "the tests are not considered; ca needs an invasive examination.\n"
    )
    yield table(
        ["missing", "before", "recommended", "one field for everybody", "recommended less the best in hindsight"],
        (
            [
                each.lacking,
                f"{each.before:.3f}",
                f"{each.recommended:.3f}",
                ", ".join(f"{name} {away:.3f}" for name, away in sorted(each.others.items(), key=lambda pair: pair[1])),
                interval(each.excess, 3),
            ]
            for each in found
        ),
    )
