"""The known defects in the model card: each is computed from the training rows and the report, or it is absent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from scoring.uncertainty import COVERAGE
from training.data.population import Population
from training.estimates import FEWEST
from training.evaluation.metrics import Performance
from training.evaluation.repeated_cv import COMPLETE
from training.evaluation.results import Deep, Report
from training.report.equation import Equation
from training.report.markdown import interval
from training.report.sections.population import listed

_UNSURE: Final = 50
"""With fewer of either outcome, a sensitivity or specificity of 0.8 is uncertain by more than 0.1 either way."""
_CODED: Final = ("cp", "fbs", "restecg", "exang", "slope", "thal")
"""The fields with codes; of sex there is more to say, and ca is a number to the models."""
_WITHOUT_TESTS: Final = "ca+thal"
_PAIN: Final = {"1": "typical angina (cp 1)", "4": "no pain (cp 4)"}


def known_defects(report: Report, equations: Sequence[Equation]) -> tuple[str, ...]:
    """List what is wrong with a run's best model."""
    return (
        *_age(report, equations),
        *_chest_pain(report.population, equations),
        *_rare_codes(report.population, linear=bool(equations)),
        *_sexes(report.population),
        *(_found_deep(report, report.deep) if report.deep else ()),
        (
            "Risks, intervals and label sets hold for patients like those of training alone; no record shows who is "
            "like them."
        ),
    )


def _found_deep(report: Report, deep: Deep) -> Iterator[str]:
    best = report.choice.best
    yield from _near_the_outcome(report)
    yield from _groups("Out of fold", report.lacking[COMPLETE][best], {n: of[best] for n, of in deep.subgroups.items()})
    yield from _elsewhere(best, deep)
    yield from _ranking(report.lacking[COMPLETE][best], best, deep)
    yield from _label_sets(deep)


def _age(report: Report, equations: Sequence[Equation]) -> Iterator[str]:
    """Say if a higher age lowers the risk, against what is known of hearts."""
    if not equations or equations[0].slopes["age"] >= 0:
        return
    whole, *others = (
        f"{10 * each.slopes['age']:+.2f}{f' without {listed(list(each.without))}' if each.without else ''}"
        for each in equations
    )
    more = f" ({'; '.join(others)})" if others else ""
    yield (
        f"Of two patients who differ in age alone, the older has the lower risk: ten years change the log-odds by "
        f"{whole}{more}. In practice the risk rises with age."
    )
    if report.deep is not None:
        ratio = report.deep.odds_ratios["age"]
        if ratio.low <= 1 <= ratio.high:
            yield (
                f"Whether age counts at all, these patients do not show: odds ratio {interval(ratio)} for a standard "
                "deviation more (logistic regression)."
            )


def _chest_pain(population: Population, equations: Sequence[Equation]) -> Iterator[str]:
    """Say if typical angina stands for less disease than no pain, in the rows and in the model."""
    groups = population.codes["cp"]
    typical, none = (groups[code] for code in _PAIN)
    if not (typical.patients and none.patients):
        return
    learned = not equations or equations[0].codes["cp"]["1"] < equations[0].codes["cp"]["4"]
    if learned and typical.events / typical.patients < none.events / none.patients:
        told = [f"{groups[code].events} of {groups[code].patients} with {pain}" for code, pain in _PAIN.items()]
        yield (
            f"Of the training patients {listed(told)} had disease, and the model follows them. In practice typical "
            "angina speaks for disease."
        )


def _rare_codes(population: Population, *, linear: bool) -> Iterator[str]:
    rare = [
        f"{field} {code} ({of.patients})"
        for field in _CODED
        for code, of in population.codes[field].items()
        if of.patients < FEWEST
    ]
    if rare:
        drawn = ", and the penalty draws it towards nothing" if linear else ""
        yield (
            f"Codes that fewer than {FEWEST} training patients have: {', '.join(rare)}. What the model makes of them "
            f"rests on few{drawn}, whatever they mean to a physician."
        )


def _sexes(population: Population) -> Iterator[str]:
    for name, code in (("women", "0"), ("men", "1")):
        of = population.codes["sex"][code]
        if min(of.events, of.patients - of.events) < _UNSURE:
            yield f"{of.events} of {of.patients} {name} had disease: what is said of {name} is uncertain."


def _near_the_outcome(report: Report) -> Iterator[str]:
    """Say what ca and thal are worth, if most training patients have both."""
    rows, missing = report.data.rows, report.population.missing
    whole, without = (report.lacking[name][report.choice.best].figures for name in (COMPLETE, _WITHOUT_TESTS))
    if max(missing["ca"], missing["thal"]) * 2 < rows and without["roc_auc"].value < whole["roc_auc"].value:
        yield (
            "ca and thal are measured close to the outcome itself: where they are known, much of the work has been "
            f"done. Without them the ROC-AUC is {interval(without['roc_auc'])}, with them {interval(whole['roc_auc'])}."
        )


def _groups(where: str, everybody: Performance, groups: dict[str, Performance]) -> Iterator[str]:
    """Say which groups are clearly below all patients of the same place."""
    for figure, title in (("recall", "sensitivity"), ("specificity", "specificity")):
        whole = everybody.figures.get(figure)
        low = [
            f"{name} {interval(of.figures[figure])}, {of.events if figure == 'recall' else of.patients - of.events} "
            f"patients {'with' if figure == 'recall' else 'without'} disease"
            for name, of in groups.items()
            if whole and figure in of.figures and of.figures[figure].high < whole.value
        ]
        if whole and low:
            yield f"{where} {title} is {whole.value:.2f}, but lower in some groups: {'; '.join(low)}."


def _elsewhere(best: str, deep: Deep) -> Iterator[str]:
    """Say where risks are off on average, and where they are worth less than the prevalence."""
    for site, found in deep.elsewhere.items():
        name, figures = deep.hospitals[site], found.models[best].figures
        bias, brier = figures.get("bias"), figures.get("brier")
        if bias is not None and not bias.low <= 0 <= bias.high:
            side = "low" if bias.value < 0 else "high"
            yield (
                f"In {name} risks are too {side}: mean risk less share with disease is {interval(bias)}; "
                f"{found.events} of {found.patients} patients have disease."
            )
        if brier is not None and brier.low > found.prevalence_brier:
            yield (
                f"In {name} it would be better to give everybody the prevalence: Brier score "
                f"{found.prevalence_brier:.2f}, the model's is {interval(brier)}."
            )
        yield from _groups(f"In {name}", found.models[best], found.groups)


def _ranking(home: Performance, best: str, deep: Deep) -> Iterator[str]:
    """Say where the ranking is weaker than out of fold, and where it cannot be judged."""
    ours = home.figures.get("roc_auc")
    for site, found in deep.elsewhere.items():
        name, theirs = deep.hospitals[site], found.models[best].figures.get("roc_auc")
        if theirs is None:
            healthy = found.patients - found.events
            few, kind = min((found.events, "with"), (healthy, "without"))
            yield f"In {name} the ranking cannot be judged: {few} patients {kind} disease."
        elif ours is not None and theirs.high < ours.value:
            yield f"In {name} the ranking is weaker: ROC-AUC {interval(theirs)}, out of fold {interval(ours)}."


def _label_sets(deep: Deep) -> Iterator[str]:
    """Say where label sets hold the true label clearly less often than they promise."""
    places = {"Out of fold": deep.coverage}
    places |= {f"In {deep.hospitals[site]}": of.coverage for site, of in deep.elsewhere.items() if of.coverage}
    for where, of in places.items():
        for outcome, share in (("without", of.without_disease), ("with", of.with_disease)):
            if share is not None and share.high < COVERAGE:
                yield (
                    f"{where}, label sets hold the true label of patients {outcome} disease in {interval(share)} of "
                    f"cases, not in {COVERAGE:.2f}."
                )
