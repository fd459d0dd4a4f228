"""All that a training run found out about its models, as one document: same run, same bytes."""

from __future__ import annotations

import msgspec

from scoring.model_artifact import DataEntry, Metric
from training.data.population import Population
from training.estimates import Estimate
from training.evaluation.interval_simulation import IntervalCoverage
from training.evaluation.label_sets import Coverage
from training.evaluation.learning_curve import Learned
from training.evaluation.measure_next import MeasureNext
from training.evaluation.metrics import Performance
from training.evaluation.model_selection import Choice, Standing
from training.evaluation.operating_point import OperatingPoint
from training.evaluation.recalibration import Harm
from training.evaluation.sample_size import SampleSize
from training.evaluation.stability import Instability
from training.evaluation.tuning import Tuned

REPORT_SCHEMA = "heartstream-report/1"


class Bin(msgspec.Struct, frozen=True):
    """Patients of about the same risk: how many, their mean risk, and the share that had disease."""

    patients: int
    risk: float
    share: Estimate


class Curve(msgspec.Struct, frozen=True):
    """The points of a curve."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class Threshold(msgspec.Struct, frozen=True):
    """What labels at one threshold would mean. Predictive values are None where nobody gets the label."""

    threshold: float
    sensitivity: float
    specificity: float
    positive_predictive_value: float | None
    negative_predictive_value: float | None
    net_benefit: float
    net_benefit_of_treating_all: float


class Site(msgspec.Struct, frozen=True):
    """Models that were fitted on the training rows, on another hospital's patients.

    `prevalence_brier` is the Brier score of saying the hospital's prevalence to everybody. `coverage` is that of the
    best model's label sets. `groups` is how the best model did by sex, age and chest pain: sensitivity and specificity
    are counts there, however small the group.
    """

    patients: int
    events: int
    prevalence_brier: float
    models: dict[str, Performance]
    coverage: Coverage | None
    groups: dict[str, Performance]


class Deep(msgspec.Struct, frozen=True):
    """What a quick run leaves out.

    `calibration`, `histogram` and `thresholds` are the best model's, `roc` and `precision_recall` each model's: of a
    patient's mean risk over the repeats, out of fold. `subgroups` is by group and model, `elsewhere` by hospital; in
    `left_out` the hospital named was left out of training and the models tested on it. `hospitals` names the hospitals,
    or the files of those that the rows do not prove; `shared_rows` counts each one's rows that are left out of all this
    because they stand in the training rows or in another hospital's file, too. Of a group with fewer than 20 patients
    of either outcome, sensitivity and specificity are counts, of labels of the mean risk over the repeats.
    `coverage` is that of label sets, `coverage_with_gap` without slope, ca and thal (None for a forest, which has none
    there); `intervals` and `measure_next` are empty for it.
    `odds_ratios` are of the logistic regression, which shrinks them towards 1: for a standard deviation more, for a yes
    against a no, or for one of several codes against the average patient. `importance` is by how much shuffling a field
    raises the forest's log loss, out of fold. `recalibration` is what shifts of the best model would do, by hospital.
    """

    tuned: dict[str, Tuned]
    tuned_performance: dict[str, Performance]
    calibration: tuple[Bin, ...]
    histogram: tuple[tuple[int, ...], tuple[int, ...]]
    roc: dict[str, Curve]
    precision_recall: dict[str, Curve]
    thresholds: tuple[Threshold, ...]
    subgroups: dict[str, dict[str, Performance]]
    hospitals: dict[str, str]
    shared_rows: dict[str, int]
    elsewhere: dict[str, Site]
    left_out: dict[str, dict[str, Performance]]
    learning: dict[str, tuple[Learned, ...]]
    instability: Instability
    coverage: Coverage
    coverage_with_gap: Coverage | None
    intervals: tuple[IntervalCoverage, ...]
    measure_next: tuple[MeasureNext, ...]
    sample_size: SampleSize
    odds_ratios: dict[str, Estimate]
    importance: dict[str, float]
    shuffled_roc_auc: float
    recalibration: tuple[Harm, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """A training run's findings.

    `five_fold` is one cross-validation with the run's seed: mean and deviation over the folds. `lacking` has, for each
    set of deleted fields ("none" first) and each model, the usual pipeline among them, how it does over all `repeats`;
    intervals are over bootstrap samples of the patients. `usual_at_our_specificity` is the usual pipeline, by deleted
    fields, at the threshold where its specificity is that of the best model. `standings` are what the rule of choice
    looked at.
    """

    schema: str
    data: DataEntry
    population: Population
    seed: int
    threshold: float
    repeats: int
    bootstraps: int
    five_fold: dict[str, dict[str, Metric]]
    lacking: dict[str, dict[str, Performance]]
    usual_at_our_specificity: dict[str, OperatingPoint]
    standings: tuple[Standing, ...]
    choice: Choice
    deep: Deep | None

    def as_json(self) -> bytes:
        """Write the report: indented, in the order of its fields."""
        return as_document(self)


_DIGITS = 6


def as_document(findings: msgspec.Struct) -> bytes:
    """Write findings as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(_rounded(msgspec.to_builtins(findings))), indent=1) + b"\n"


def _rounded(value: object) -> object:
    """Round every number: digits beyond the sixth are noise, and differ between machines."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value
