"""Each known defect is what the patients show, computed here anew, and none is stated that they do not show."""

from __future__ import annotations

import re

import msgspec
import pandas as pd
import pytest

from training.data.frames import features, site_rows, target
from training.data.population import data_entry
from training.estimates import FEWEST, Estimate, samples
from training.evaluation.inputs import QUICK, Question
from training.evaluation.label_sets import nested_coverage, nested_folds
from training.evaluation.other_hospitals import elsewhere, hospitals, shared_rows
from training.evaluation.repeated_cv import cross_validated
from training.evaluation.results import Deep, Report, Site
from training.evaluation.sample_size import SampleSize
from training.evaluation.stability import Instability, odds_ratios, refits
from training.evaluation.subgroups import subgroups
from training.pipeline import TrainingReport
from training.report.equation import Equation
from training.report.sections.known_defects import known_defects

BEST = "pattern_submodels"
NUMBER = re.compile(r"-?\d+\.\d+|\d+")


@pytest.fixture(scope="module")
def found(report: TrainingReport, everyone: pd.DataFrame, cleveland: pd.DataFrame) -> Report:
    """A report with all that the defects are computed from, of fewer repeats than a run that is not quick."""
    matrix, labels = features(cleveland), target(cleveland)
    question = Question(everyone, matrix, labels, data_entry(cleveland), 42, 0.5, QUICK)
    pipeline, weights = question.pipelines[BEST], samples(len(labels), 42, 100)
    risks = cross_validated({BEST: pipeline}, matrix, labels, [42, 43], lambda _step: None).risks[BEST]["none"]
    deep = Deep(
        tuned={},
        tuned_performance={},
        calibration=(),
        histogram=((), ()),
        roc={},
        precision_recall={},
        thresholds=(),
        subgroups=subgroups(question, {BEST: risks}, weights),
        hospitals=hospitals(question),
        shared_rows=shared_rows(question),
        elsewhere=elsewhere(question, BEST),
        left_out={},
        learning={},
        instability=Instability(0, 0, 0, 0, 0, (), ()),
        coverage=nested_coverage(nested_folds(pipeline["classify"], matrix, labels, [42]), matrix, labels),
        coverage_with_gap=None,
        intervals=(),
        measure_next=(),
        sample_size=SampleSize(0, 0, 0, 0, 0, 0, 0),
        odds_ratios=odds_ratios(refits(matrix, labels, weights)),
        importance={},
        shuffled_roc_auc=0.5,
    )
    return msgspec.structs.replace(report.findings, deep=deep)


@pytest.fixture(scope="module")
def equations(report: TrainingReport) -> tuple[Equation, ...]:
    """The equations of that run's card."""
    card = msgspec.json.decode((report.folder / "model-card.json").read_bytes())
    return msgspec.convert(card["equations"], tuple[Equation, ...])


@pytest.fixture(scope="module")
def told(found: Report, equations: tuple[Equation, ...]) -> tuple[str, ...]:
    """The defects of the model of the shipped data."""
    return known_defects(found, equations)


def defect(told: tuple[str, ...], begins: str) -> str:
    """Return the one sentence that begins so."""
    (sentence,) = [each for each in told if each.startswith(begins)]
    return sentence


def test_counts_are_those_of_the_rows(told: tuple[str, ...], cleveland: pd.DataFrame) -> None:
    """Women, chest pain and rare codes are counted."""
    ill, women = cleveland["num"] > 0, cleveland["sex"] == 0
    assert defect(told, f"{(women & ill).sum()} of {women.sum()} women had disease")
    typical, none = (cleveland["cp"] == code for code in (1, 4))
    assert f"{(typical & ill).sum()} of {typical.sum()} with typical angina (cp 1)" in defect(told, "Of the training")
    assert f"{(none & ill).sum()} of {none.sum()} with no pain (cp 4)" in defect(told, "Of the training")
    rare = [
        f"{name} {code:g} ({count})"
        for name in ("cp", "fbs", "restecg", "exang", "slope", "thal")
        for code, count in cleveland[name].value_counts().sort_index().items()
        if count < FEWEST
    ]
    assert f"training patients have: {', '.join(rare)}." in defect(told, "Codes that fewer than")


def test_age_is_told_as_the_equation_has_it(
    told: tuple[str, ...], found: Report, equations: tuple[Equation, ...]
) -> None:
    """Ten years as the coefficient says; where age raises the risk, nothing is said against it."""
    ten = [10 * each.slopes["age"] for each in equations]
    assert f"by {ten[0]:+.2f} ({ten[1]:+.2f} without slope, ca and thal)" in defect(told, "Of two patients")
    other = tuple(
        msgspec.structs.replace(each, slopes={**each.slopes, "age": abs(each.slopes["age"])}) for each in equations
    )
    assert not [each for each in known_defects(found, other) if "older" in each or "age counts" in each.lower()]


def test_other_hospitals_are_told_as_their_patients_show(
    told: tuple[str, ...], everyone: pd.DataFrame, cleveland: pd.DataFrame
) -> None:
    """Bias, the share with disease and the group with chest pain 1 to 3 are those of the model's own risks there."""
    pipeline = Question(everyone, *[None] * 3, 42, 0.5, QUICK).pipelines[BEST]
    pipeline.fit(features(cleveland), target(cleveland))
    for site, name, side in (("hungarian", "Budapest", "high"), ("switzerland", "Zurich and Basel", "low")):
        rows = site_rows(everyone, site)
        risks, ill = pipeline.predict_proba(features(rows))[:, 1], target(rows) == 1
        sentence = defect(told, f"In {name} risks are too {side}")
        assert f"is {risks.mean() - ill.mean():.2f} (" in sentence
        assert sentence.endswith(f"; {ill.sum()} of {len(ill)} patients have disease.")
        pain = (rows["cp"] != 4).to_numpy() & ill
        assert f"other chest pain (cp 1 to 3) {(risks[pain] >= 0.5).mean():.2f} (" in defect(
            told, f"In {name} sensitivity"
        )
        assert f"), {pain.sum()} patients with disease" in defect(told, f"In {name} sensitivity")
    healthy = (site_rows(everyone, "switzerland")["num"] == 0).sum()
    assert defect(told, "In Zurich and Basel the ranking") == (
        f"In Zurich and Basel the ranking cannot be judged: {healthy} patients without disease."
    )
    assert not [each for each in told if each.startswith("In Budapest the ranking")]


def test_every_number_is_in_the_report_or_the_rows(
    told: tuple[str, ...], found: Report, equations: tuple[Equation, ...]
) -> None:
    """No sentence has a number of its own: each is a figure or count of the report, or part of a name."""
    known = {"1", "3", "4", "10", "20", "0.90", "55"}
    known |= {f"{10 * each.slopes['age']:.2f}".lstrip("-") for each in equations}

    def take(value: object) -> None:
        if isinstance(value, dict):
            for inner in value.values():
                take(inner)
        elif isinstance(value, list | tuple):
            for inner in value:
                take(inner)
        elif isinstance(value, int | float):
            known.update({f"{value:g}", f"{abs(value):.2f}", f"{round(value, 2) + 0.0:.2f}"})

    take(msgspec.to_builtins(found))
    healthy = [of.patients - of.events for of in _groups(found)]
    known.update(map(str, healthy))
    for sentence in told:
        names = re.sub(r"(restecg|thal|slope|fbs|exang|cp) \d", "", sentence)
        assert [number for number in NUMBER.findall(names) if number not in known] == []


def _groups(found: Report) -> list[Site]:
    deep = found.deep
    assert deep is not None
    groups = [of for each in deep.subgroups.values() for of in each.values()]
    return [*groups, *deep.elsewhere.values(), *(of for site in deep.elsewhere.values() for of in site.groups.values())]


def test_what_patients_do_not_show_is_not_said(found: Report, equations: tuple[Equation, ...]) -> None:
    """Another hospital where risks are right, and groups whose intervals reach up to all patients, have no sentence."""
    deep = found.deep
    assert deep is not None
    right, fine = Estimate(0.0, -0.05, 0.05), Estimate(0.9, 0.85, 0.95)
    calm = {}
    for site, of in deep.elsewhere.items():
        best = of.models[BEST]
        figures = {**best.figures, "bias": right, "recall": fine, "specificity": fine, "roc_auc": fine}
        figures["brier"] = Estimate(0.01, 0.0, 0.02)
        groups = {
            name: msgspec.structs.replace(group, figures={"recall": fine, "specificity": fine})
            for name, group in of.groups.items()
        }
        models = {**of.models, BEST: msgspec.structs.replace(best, figures=figures)}
        calm[site] = msgspec.structs.replace(of, models=models, groups=groups, coverage=None)
    again = msgspec.structs.replace(found, deep=msgspec.structs.replace(deep, elsewhere=calm))
    assert [each for each in known_defects(again, equations) if each.startswith("In ") and "practice" not in each] == []
