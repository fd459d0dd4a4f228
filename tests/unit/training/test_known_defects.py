"""Each known defect is computed from the patients, and none is stated that they do not show."""

from __future__ import annotations

import re

import msgspec
import pandas as pd
import pytest

from tests.support.evaluation import inputs_of
from tests.support.uci import UCI
from training.data.frames import TRAINING_SITE, features, site_rows, target
from training.estimates import MIN_PATIENTS, Estimate, bootstrap_weights
from training.evaluation.inputs import QUICK, EvaluationInputs
from training.evaluation.label_sets import nested_folds, nested_label_set_coverage
from training.evaluation.other_hospitals import evaluate_other_hospitals, hospital_names, shared_rows
from training.evaluation.repeated_cv import repeated_cross_validation
from training.evaluation.results import Curves, EvaluationReport, FullEvaluation, HospitalResult
from training.evaluation.stability import Instability, bootstrap_refits, odds_ratios
from training.evaluation.subgroups import subgroup_performance
from training.pipeline import TrainingResult
from training.report.equation import Equation
from training.report.sections.known_defects import known_defects
from training.sample_size import SampleSize

BEST = "pattern_submodels"
NUMBER = re.compile(r"-?\d+\.\d+|\d+")


@pytest.fixture(scope="module")
def found(report: TrainingResult, everyone: pd.DataFrame) -> EvaluationReport:
    """A report with all inputs of the defects, with fewer repeats than a full run."""
    inputs = inputs_of(everyone)
    matrix, labels = inputs.matrix, inputs.labels
    pipeline, weights = inputs.pipelines[BEST], bootstrap_weights(len(labels), 42, 100)
    out_of_fold = repeated_cross_validation({BEST: pipeline}, matrix, labels, UCI.table, [42, 43], lambda _step: None)
    risks = out_of_fold.risks[BEST]["none"]
    full = FullEvaluation(
        tuning={},
        tuning_performance={},
        curves=Curves((), ((), ()), (), {}, {}),
        subgroups=subgroup_performance(inputs, {BEST: risks}, weights),
        hospitals=hospital_names(inputs),
        shared_rows=shared_rows(inputs),
        other_hospitals=evaluate_other_hospitals(inputs, BEST),
        leave_one_hospital_out={},
        learning_curve={},
        instability=Instability(0, 0, 0, 0, 0, (), ()),
        coverage=nested_label_set_coverage(
            nested_folds(pipeline["classify"], matrix, labels, UCI, [42]), matrix, labels, UCI
        ),
        coverage_with_gap=None,
        interval_coverage=(),
        measure_next=(),
        sample_size=SampleSize(0, 0, 0, 0, 0, 0, 0),
        odds_ratios=odds_ratios(bootstrap_refits(matrix, labels, weights, UCI), UCI),
        permutation_importance={},
        permuted_labels_roc_auc=0.5,
    )
    return msgspec.structs.replace(report.evaluation, full=full)


@pytest.fixture(scope="module")
def equations(report: TrainingResult) -> tuple[Equation, ...]:
    """The equations of that run's card."""
    card = msgspec.json.decode((report.folder / "model-card.json").read_bytes())
    return msgspec.convert(card["equations"], tuple[Equation, ...])


@pytest.fixture(scope="module")
def defects(found: EvaluationReport, equations: tuple[Equation, ...]) -> tuple[str, ...]:
    """The known defects of the model of the shipped data."""
    return known_defects(found, equations)


def defect(defects: tuple[str, ...], begins: str) -> str:
    """Return the one sentence that begins with this text."""
    (sentence,) = [each for each in defects if each.startswith(begins)]
    return sentence


def test_counts_are_those_of_the_rows(defects: tuple[str, ...], cleveland: pd.DataFrame) -> None:
    """Women, chest pain and rare codes are counted."""
    ill, women = cleveland["num"] > 0, cleveland["sex"] == 0
    assert defect(defects, f"{(women & ill).sum()} of {women.sum()} women had disease")
    typical, none = (cleveland["cp"] == code for code in (1, 4))
    assert f"{(typical & ill).sum()} of {typical.sum()} with typical angina (cp 1)" in defect(
        defects, "Of the training"
    )
    assert f"{(none & ill).sum()} of {none.sum()} with no pain (cp 4)" in defect(defects, "Of the training")
    rare = [
        f"{name} {code:g} ({count})"
        for name in ("cp", "fbs", "restecg", "exang", "slope", "thal")
        for code, count in cleveland[name].value_counts().sort_index().items()
        if count < MIN_PATIENTS
    ]
    assert f"training patients have: {', '.join(rare)}." in defect(defects, "Codes that fewer than")


def test_the_effect_of_age_is_that_of_the_equation(
    defects: tuple[str, ...], found: EvaluationReport, equations: tuple[Equation, ...]
) -> None:
    """Ten years times the coefficient; if age raises the risk no defect is stated."""
    ten = [10 * each.slopes["age"] for each in equations]
    assert f"by {ten[0]:+.2f} ({ten[1]:+.2f} without slope, ca and thal)" in defect(defects, "Of two patients")
    other = tuple(
        msgspec.structs.replace(each, slopes={**each.slopes, "age": abs(each.slopes["age"])}) for each in equations
    )
    assert not [each for each in known_defects(found, other) if "older" in each or "effect of age" in each]


def test_defects_of_other_hospitals_are_those_of_their_patients(
    defects: tuple[str, ...], everyone: pd.DataFrame, cleveland: pd.DataFrame
) -> None:
    """Bias, prevalence and the group with chest pain 1 to 3 come from the model's own risks there."""
    pipeline = EvaluationInputs(UCI, everyone, TRAINING_SITE, *[None] * 3, 42, 0.5, QUICK).pipelines[BEST]
    pipeline.fit(features(cleveland), target(cleveland))
    for site, name, side in (("hungarian", "Budapest", "high"), ("switzerland", "Zurich and Basel", "low")):
        rows = site_rows(everyone, site)
        risks, ill = pipeline.predict_proba(features(rows))[:, 1], target(rows) == 1
        sentence = defect(defects, f"In {name} risks are too {side}")
        assert f"is {risks.mean() - ill.mean():.2f} (" in sentence
        assert sentence.endswith(f"; {ill.sum()} of {len(ill)} patients have disease.")
        pain = (rows["cp"] != 4).to_numpy() & ill
        assert f"other chest pain (cp 1 to 3) {(risks[pain] >= 0.5).mean():.2f} (" in defect(
            defects, f"In {name} sensitivity"
        )
        assert f"), {pain.sum()} patients with disease" in defect(defects, f"In {name} sensitivity")
    healthy = (site_rows(everyone, "switzerland")["num"] == 0).sum()
    assert defect(defects, "In Zurich and Basel discrimination") == (
        f"In Zurich and Basel discrimination cannot be estimated: {healthy} patients without disease."
    )
    assert not [each for each in defects if each.startswith("In Budapest discrimination")]


def test_every_number_is_in_the_report_or_the_rows(
    defects: tuple[str, ...], found: EvaluationReport, equations: tuple[Equation, ...]
) -> None:
    """Each number is a metric or count of the report, or part of a name."""
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
    for sentence in defects:
        names = re.sub(r"(restecg|thal|slope|fbs|exang|cp) \d", "", sentence)
        assert [number for number in NUMBER.findall(names) if number not in known] == []


def _groups(found: EvaluationReport) -> list[HospitalResult]:
    full = found.full
    assert full is not None
    groups = [of for each in full.subgroups.values() for of in each.values()]
    return [
        *groups,
        *full.other_hospitals.values(),
        *(of for site in full.other_hospitals.values() for of in site.groups.values()),
    ]


def test_absent_defects_are_not_stated(found: EvaluationReport, equations: tuple[Equation, ...]) -> None:
    """A hospital with correct risks and groups whose intervals reach the overall figure have no sentence."""
    full = found.full
    assert full is not None
    right, fine = Estimate(0.0, -0.05, 0.05), Estimate(0.9, 0.85, 0.95)
    calm = {}
    for site, of in full.other_hospitals.items():
        best = of.models[BEST]
        figures = {**best.figures, "bias": right, "recall": fine, "specificity": fine, "roc_auc": fine}
        figures["brier"] = Estimate(0.01, 0.0, 0.02)
        groups = {
            name: msgspec.structs.replace(group, figures={"recall": fine, "specificity": fine})
            for name, group in of.groups.items()
        }
        models = {**of.models, BEST: msgspec.structs.replace(best, figures=figures)}
        calm[site] = msgspec.structs.replace(of, models=models, groups=groups, coverage=None)
    again = msgspec.structs.replace(found, full=msgspec.structs.replace(full, other_hospitals=calm))
    assert [each for each in known_defects(again, equations) if each.startswith("In ")] == []
