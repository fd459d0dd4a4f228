"""The known defects in the model card, each computed from the training rows and the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from scoring.uncertainty import COVERAGE
from training.data.population import Population
from training.estimates import MIN_PATIENTS
from training.evaluation.metrics import Performance
from training.evaluation.repeated_cv import COMPLETE
from training.evaluation.results import EvaluationReport, FullEvaluation
from training.report.equation import Equation
from training.report.markdown import interval
from training.report.sections.population import is_builtin, listed

_UNSURE: Final = 50
"""With fewer patients of either outcome, the interval of a sensitivity of 0.8 reaches more than 0.1 to either side."""
_CODED: Final = ("cp", "fbs", "restecg", "exang", "slope", "thal")
"""The coded fields, without sex, which has its own check, and ca, which the models treat as a number."""
_WITHOUT_TESTS: Final = "ca+thal"
_PAIN: Final = {"1": "typical angina (cp 1)", "4": "no pain (cp 4)"}


def known_defects(report: EvaluationReport, equations: Sequence[Equation]) -> tuple[str, ...]:
    """Return the defects of a run's best model."""
    return (
        *((*_age(report, equations), *_chest_pain(report.population, equations)) if is_builtin(report) else ()),
        *_rare_codes(report, linear=bool(equations)),
        *(_sexes(report.population) if is_builtin(report) else ()),
        *(_full_evaluation(report, report.full) if report.full else ()),
        (
            "Risks, intervals and label sets are valid only for patients like the training patients, and a record does "
            "not show whether its patient is like them."
        ),
    )


def _full_evaluation(report: EvaluationReport, full: FullEvaluation) -> Iterator[str]:
    best = report.selection.best
    if is_builtin(report):
        yield from _near_the_outcome(report)
    yield from _groups(
        "Out of fold",
        report.missing_fields[COMPLETE][best],
        {n: of[best] for n, of in full.subgroups.items()},
        report.event,
    )
    yield from _other_hospitals(best, full, report.event)
    yield from _discrimination(report.missing_fields[COMPLETE][best], best, full, report.event)
    yield from _label_sets(full, report.event)


def _age(report: EvaluationReport, equations: Sequence[Equation]) -> Iterator[str]:
    """Report if the risk falls with age, contrary to clinical knowledge."""
    if not equations or equations[0].slopes["age"] >= 0:
        return
    whole, *others = (
        f"{10 * each.slopes['age']:+.2f}{f' without {listed(list(each.without))}' if each.without else ''}"
        for each in equations
    )
    more = f" ({'; '.join(others)})" if others else ""
    yield (
        f"Of two patients who differ in age alone, the older has the lower risk: ten years change the log-odds by "
        f"{whole}{more}. Clinically, the risk rises with age."
    )
    if report.full is not None:
        ratio = report.full.odds_ratios["age"]
        if ratio.low <= 1 <= ratio.high:
            yield (
                f"The effect of age is not significant: odds ratio {interval(ratio)} per standard deviation (logistic "
                "regression)."
            )


def _chest_pain(population: Population, equations: Sequence[Equation]) -> Iterator[str]:
    """Report if typical angina means less disease than no pain, in the rows and in the model."""
    groups = population.codes["cp"]
    typical, none = (groups[code] for code in _PAIN)
    if not (typical.patients and none.patients):
        return
    learned = not equations or equations[0].codes["cp"]["1"] < equations[0].codes["cp"]["4"]
    if learned and typical.events / typical.patients < none.events / none.patients:
        shares = [f"{groups[code].events} of {groups[code].patients} with {pain}" for code, pain in _PAIN.items()]
        yield (
            f"Of the training patients, {listed(shares)} had disease, and the model reproduces this. Clinically, "
            "typical angina indicates disease."
        )


def _rare_codes(report: EvaluationReport, *, linear: bool) -> Iterator[str]:
    codes = report.population.codes
    rare = [
        f"{field} {code} ({of.patients})"
        for field in (_CODED if is_builtin(report) else codes)
        for code, of in codes[field].items()
        if of.patients < MIN_PATIENTS
    ]
    if rare:
        shrunk = ", and the penalty shrinks it towards 0" if linear else ""
        yield (
            f"Codes that fewer than {MIN_PATIENTS} training patients have: {', '.join(rare)}. Their effect in the "
            f"model rests on few patients{shrunk}, whatever their clinical meaning."
        )


def _sexes(population: Population) -> Iterator[str]:
    for name, code in (("women", "0"), ("men", "1")):
        of = population.codes["sex"][code]
        if min(of.events, of.patients - of.events) < _UNSURE:
            yield f"{of.events} of {of.patients} {name} had disease: all results for {name} are uncertain."


def _near_the_outcome(report: EvaluationReport) -> Iterator[str]:
    """Report the contribution of ca and thal, if most training patients have both."""
    rows, missing = report.data.rows, report.population.missing
    whole, without = (report.missing_fields[name][report.selection.best].figures for name in (COMPLETE, _WITHOUT_TESTS))
    if max(missing["ca"], missing["thal"]) * 2 < rows and without["roc_auc"].value < whole["roc_auc"].value:
        yield (
            "ca and thal are measured close to the outcome itself, when most of the diagnostic work is done. The "
            f"ROC-AUC is {interval(without['roc_auc'])} without and {interval(whole['roc_auc'])} with them."
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
