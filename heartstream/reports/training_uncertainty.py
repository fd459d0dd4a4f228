"""The tables of `heartstream train` for intervals, label sets and what to measure next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from heartstream.terminal.wrapping import filled

if TYPE_CHECKING:
    from training.evaluation.label_sets import LabelSetCoverage
    from training.evaluation.results import EvaluationReport, FullEvaluation

Table = tuple[str, Sequence[str], Iterator[Sequence[str]]]


def uncertainty_tables(report: EvaluationReport, deep: FullEvaluation) -> Iterator[Table]:
    """Yield the tables; the table of intervals only for a model that has them."""
    if deep.interval_coverage:
        truths = list(deep.interval_coverage[0].other_model)
        yield (
            (
                "Simulated coverage of 90% intervals: of the risk by a retrained model with every\n"
                "field measured (target 0.90), and of the true risk (no target), if the true\n"
                "model is the fitted one, or more extreme:"
            ),
            [
                "missing",
                *(f"claim:\n{filled(name, width=8)}" for name in truths),
                *(f"true risk:\n{filled(name, width=8)}" for name in truths),
                "median\nwidth",
            ],
            _intervals(deep),
        )
    yield (
        (
            "Label sets: training patients whose set contains the true label (out of fold),\n"
            f"with all fields{f', and without {report.common_gap}' if deep.coverage_with_gap else ''}:"
        ),
        ["", "all fields:\nwithout", f"\nwith {report.event}", "gaps:\nwithout", f"\nwith {report.event}"],
        _label_sets(report, deep.coverage, deep.coverage_with_gap),
    )
    if deep.measure_next:
        yield (
            (
                "What to measure next: mean difference of risks from those of complete records:\n"
                "before, after the recommended field, and after the same field for everybody\n"
                "(the three best in hindsight):"
            ),
            ["missing", "before", "recommended", "one field for everybody"],
            _measure_next(deep),
        )


def _intervals(deep: FullEvaluation) -> Iterator[Sequence[str]]:
    for each in deep.interval_coverage:
        shares = (*each.other_model.values(), *each.true_risk.values(), each.width)
        yield [each.missing_fields, *(f"{share:.2f}" for share in shares)]


def _label_sets(
    report: EvaluationReport, found: LabelSetCoverage, with_gap: LabelSetCoverage | None
) -> Iterator[Sequence[str]]:
    from training.report.sections.uncertainty import by_group  # noqa: PLC0415  # only where something was trained

    gaps = by_group(report, with_gap) if with_gap else {}
    for group, held in by_group(report, found).items():
        yield [group, *(f"{each.covered:g} of {each.patients}" for each in (*held, *gaps.get(group, ())))]


def _measure_next(deep: FullEvaluation) -> Iterator[Sequence[str]]:
    for each in deep.measure_next:
        best = sorted(each.others.items(), key=lambda pair: pair[1])[:3]
        others = ", ".join(f"{name} {away:.3f}" for name, away in best)
        yield [each.missing_fields, f"{each.before:.3f}", f"{each.recommended:.3f}", others]
