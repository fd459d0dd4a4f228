"""The known defects in the model card, each computed from the training rows and the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scoring.uncertainty import COVERAGE
from training.estimates import MIN_PATIENTS
from training.evaluation.metrics import Performance
from training.evaluation.repeated_cv import COMPLETE
from training.evaluation.results import EvaluationReport, FullEvaluation
from training.report.equation import Equation
from training.report.markdown import interval
from training.report.sections import uci_heart
from training.report.sections.uci_heart import is_builtin


def known_defects(report: EvaluationReport, equations: Sequence[Equation]) -> tuple[str, ...]:
    """Return the defects of a run's best model."""
    builtin = is_builtin(report)
    return (
        *(uci_heart.implausible_effects(report, equations) if builtin else ()),
        *_rare_codes(report, linear=bool(equations)),
        *(uci_heart.further_defects(report) if builtin else ()),
        *(_full_evaluation(report, report.full) if report.full else ()),
        (
            "Risks, intervals and label sets are valid only for patients like the training patients, and a record does "
            "not show whether its patient is like them."
        ),
    )


def _full_evaluation(report: EvaluationReport, full: FullEvaluation) -> Iterator[str]:
    best = report.selection.best
    yield from _groups(
        "Out of fold",
        report.missing_fields[COMPLETE][best],
        {n: of[best] for n, of in full.subgroups.items()},
        report.event,
    )
    yield from _other_hospitals(best, full, report.event)
    yield from _discrimination(report.missing_fields[COMPLETE][best], best, full, report.event)
    yield from _label_sets(full, report.event)


def _rare_codes(report: EvaluationReport, *, linear: bool) -> Iterator[str]:
    codes = report.population.codes
    rare = [
        f"{field} {code} ({of.patients})"
        for field in (uci_heart.CODED if is_builtin(report) else codes)
        for code, of in codes[field].items()
        if of.patients < MIN_PATIENTS
    ]
    if rare:
        shrunk = ", and the penalty shrinks it towards 0" if linear else ""
        yield (
            f"Codes that fewer than {MIN_PATIENTS} training patients have: {', '.join(rare)}. Their effect in the "
            f"model rests on few patients{shrunk}, whatever their clinical meaning."
        )


def _groups(where: str, everybody: Performance, groups: dict[str, Performance], event: str) -> Iterator[str]:
    """Report the groups that are significantly below all patients of the same place."""
    for figure, title in (("recall", "sensitivity"), ("specificity", "specificity")):
        whole = everybody.figures.get(figure)
        low = [
            f"{name} {interval(of.figures[figure])}, {of.events if figure == 'recall' else of.patients - of.events} "
            f"patients {'with' if figure == 'recall' else 'without'} {event}"
            for name, of in groups.items()
            if whole and figure in of.figures and of.figures[figure].high < whole.value
        ]
        if whole and low:
            yield f"{where} {title} is {whole.value:.2f}, but lower in some groups: {'; '.join(low)}."


def _other_hospitals(best: str, full: FullEvaluation, event: str) -> Iterator[str]:
    """Report where risks are biased, and where they are worse than predicting the prevalence."""
    for site, found in full.other_hospitals.items():
        name, figures = full.hospitals[site], found.models[best].figures
        bias, brier = figures.get("bias"), figures.get("brier")
        if bias is not None and not bias.low <= 0 <= bias.high:
            side = "low" if bias.value < 0 else "high"
            yield (
                f"In {name} risks are too {side}: mean risk minus prevalence is {interval(bias)}; "
                f"{found.events} of {found.patients} patients have {event}."
            )
        if brier is not None and brier.low > found.prevalence_brier:
            yield (
                f"In {name} predicting the prevalence for everybody would be better: its Brier score is "
                f"{found.prevalence_brier:.2f}, the model's {interval(brier)}."
            )
        yield from _groups(f"In {name}", found.models[best], found.groups, event)


def _discrimination(out_of_fold: Performance, best: str, full: FullEvaluation, event: str) -> Iterator[str]:
    """Report where discrimination is worse than out of fold, and where it cannot be estimated."""
    reference = out_of_fold.figures.get("roc_auc")
    for site, found in full.other_hospitals.items():
        name, auc = full.hospitals[site], found.models[best].figures.get("roc_auc")
        if auc is None:
            without = found.patients - found.events
            few, kind = min((found.events, "with"), (without, "without"))
            yield f"In {name} discrimination cannot be estimated: {few} patients {kind} {event}."
        elif reference is not None and auc.high < reference.value:
            yield f"In {name} discrimination is worse: ROC-AUC {interval(auc)}, out of fold {interval(reference)}."


def _label_sets(full: FullEvaluation, event: str) -> Iterator[str]:
    """Report where label sets have the true label significantly less often than claimed."""
    places = {"Out of fold": full.coverage}
    places |= {f"In {full.hospitals[site]}": of.coverage for site, of in full.other_hospitals.items() if of.coverage}
    for where, of in places.items():
        for outcome, share in (("without", of.without_disease), ("with", of.with_disease)):
            if share is not None and share.high < COVERAGE:
                yield (
                    f"{where}, label sets have the true label for {interval(share)} of patients {outcome} {event}, "
                    f"not for {COVERAGE:.2f}."
                )
