"""What the model card says of the built-in feature table alone: more is known of UCI Heart Disease than a table has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from schemas.tables.builtin import UCI_HEART
from training.data.population import Population
from training.evaluation.label_sets import Covered
from training.evaluation.repeated_cv import COMPLETE
from training.evaluation.results import EvaluationReport
from training.report.equation import Equation
from training.report.markdown import interval, listed

OUT_OF_SCOPE: Final = (
    "other outcomes, such as infarction or death, and any prognosis: the outcome was observed at the time of the tests",
    "records in the coding of Kaggle's copy of UCI Heart Disease, whose codes have other meanings",
)
PREPARED: Final = (
    "Values that mean “not measured” (0 for pressure, cholesterol and heart rate; -9) count as missing. All "
    "preprocessing is fitted inside each fold."
)
SELECTED: Final = {
    "cleveland": "consecutive, without earlier infarction or valve disease (Detrano et al., Am J Cardiol 1989)"
}
"""How a hospital's patients were selected, beyond their referral, as far as known."""
OUTCOME_IS_DATED: Final = "The outcome, 50% narrowing read visually in the 1980s, is not the standard of today."
NEAR_THE_OUTCOME: Final = "ca and thal are measured close to the outcome"
INVASIVE: Final = "ca requires an invasive examination."
CODED: Final = ("cp", "fbs", "restecg", "exang", "slope", "thal")
"""The coded fields, without sex, which has its own check, and ca, which the models treat as a number."""
_UNSURE: Final = 50
"""With fewer patients of either outcome, the interval of a sensitivity of 0.8 reaches more than 0.1 to either side."""
_WITHOUT_TESTS: Final = "ca+thal"
_PAIN: Final = {"1": "typical angina (cp 1)", "4": "no pain (cp 4)"}

Counts = tuple[Covered, Covered]
"""Patients without and with the outcome."""


def is_builtin(report: EvaluationReport) -> bool:
    """Return whether a report is of the built-in table; training refuses another table of its name."""
    return report.table == UCI_HEART.identifier


def ages_and_women(population: Population, rows: int) -> str:
    """Describe the patients' ages, and how many are women."""
    women, (youngest, oldest) = population.codes["sex"]["0"].patients, population.ranges["age"]
    share = f"{women} of {rows} ({women / rows:.0%})"
    return f"The training patients are {youngest:g} to {oldest:g} years old; {share} are women."


def wider_groups(groups: Mapping[str, Counts]) -> dict[str, Counts]:
    """Return the counts by sex and by kind of chest pain, summed over the patient groups."""
    names = list(groups)
    wider = {
        "women": names[:2],
        "men": names[2:],
        "with chest pain": names[::2],
        "without chest pain": names[1::2],
    }
    return {title: _sum([groups[name] for name in parts]) for title, parts in wider.items()}


def implausible_effects(report: EvaluationReport, equations: Sequence[Equation]) -> Iterator[str]:
    """Report effects in the model that contradict clinical knowledge."""
    yield from _age(report, equations)
    yield from _chest_pain(report.population, equations)


def further_defects(report: EvaluationReport) -> Iterator[str]:
    """Report the sexes with few patients and, of a full run, what the tests close to the outcome contribute."""
    yield from _sexes(report.population)
    if report.full is not None:
        yield from _near_the_outcome(report)


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


def _sum(parts: Sequence[Counts]) -> Counts:
    without, having = (
        Covered(sum(part[outcome].patients for part in parts), sum(part[outcome].covered for part in parts))
        for outcome in (0, 1)
    )
    return without, having
