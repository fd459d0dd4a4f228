"""What `heartstream train` prints of intervals, label sets and what to measure next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from training.evaluation.label_sets import Coverage
    from training.evaluation.results import Deep

Table = tuple[str, Sequence[str], Iterator[Sequence[str]]]


def uncertainty_tables(deep: Deep) -> Iterator[Table]:
    """Yield the tables; those of intervals only for a model that has them."""
    if deep.intervals:
        truths = list(deep.intervals[0].other_model)
        yield (
            (
                "90% intervals, simulated: how often another training's risk with every field\n"
                "measured lies inside (the claim: 0.90), and how often the true risk does (no\n"
                "claim), where the truth is as the model, or more extreme:"
            ),
            [
                "missing",
                *(f"claim:\n{fill(name, 8)}" for name in truths),
                *(f"true risk:\n{fill(name, 8)}" for name in truths),
                "median\nwidth",
            ],
            _intervals(deep),
        )
    yield (
        (
            "Label sets: training patients whose set has the true label, out of fold,\n"
            "with all fields, and without slope, ca, thal:"
        ),
        ["", "all fields:\nwithout", "\nwith disease", "gaps:\nwithout", "\nwith disease"],
        _label_sets(deep.coverage, deep.coverage_with_gap),
    )
    if deep.measure_next:
        yield (
            (
                "What to measure next: mean distance of risks from those of complete records,\n"
                "before, after the recommended field, and after one field for everybody (the\n"
                "three best in hindsight):"
            ),
            ["missing", "before", "recommended", "one field for everybody"],
            _measure_next(deep),
        )


def _intervals(deep: Deep) -> Iterator[Sequence[str]]:
    for each in deep.intervals:
        shares = (*each.other_model.values(), *each.true_risk.values(), each.width)
        yield [each.lacking, *(f"{share:.2f}" for share in shares)]


def _label_sets(found: Coverage, with_gap: Coverage | None) -> Iterator[Sequence[str]]:
    from training.report.sections.uncertainty import by_group  # noqa: PLC0415  # only where something was trained

    gaps = by_group(with_gap) if with_gap else {}
    for group, held in by_group(found).items():
        yield [group, *(f"{each.held:g} of {each.patients}" for each in (*held, *gaps.get(group, ())))]


def _measure_next(deep: Deep) -> Iterator[Sequence[str]]:
    for each in deep.measure_next:
        best = sorted(each.others.items(), key=lambda pair: pair[1])[:3]
        others = ", ".join(f"{name} {away:.3f}" for name, away in best)
        yield [each.lacking, f"{each.before:.3f}", f"{each.recommended:.3f}", others]
