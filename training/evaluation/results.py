"""The results of a training run's evaluation, as one JSON document: same run, same bytes."""

from __future__ import annotations

import msgspec

from scoring.model_artifact import DataEntry, Metric
from training.data.population import Population
from training.estimates import Estimate
from training.evaluation.interval_simulation import IntervalCoverage
from training.evaluation.label_sets import LabelSetCoverage
from training.evaluation.learning_curve import LearningCurvePoint
from training.evaluation.measure_next import MeasureNextBenefit
from training.evaluation.metrics import Performance
from training.evaluation.model_selection import Selection, SelectionCriteria
from training.evaluation.operating_point import OperatingPoint
from training.evaluation.recalibration import Harm
from training.evaluation.stability import Instability
from training.evaluation.tuning import TuningResult
from training.sample_size import SampleSize

REPORT_SCHEMA = "heartstream-report/3"


class CalibrationBin(msgspec.Struct, frozen=True):
    """Patients of similar risk: their number, mean risk, and share with disease."""

    patients: int
    risk: float
    share: Estimate


class Curve(msgspec.Struct, frozen=True):
    """The points of a curve."""

    x: tuple[float, ...]
    y: tuple[float, ...]


class ThresholdMetrics(msgspec.Struct, frozen=True):
    """Performance at one decision threshold. Predictive values are None where nobody gets the label."""

    threshold: float
    sensitivity: float
    specificity: float
    positive_predictive_value: float | None
    negative_predictive_value: float | None
    net_benefit: float
    net_benefit_of_treating_all: float


class Curves(msgspec.Struct, frozen=True):
    """Curves of each patient's mean out-of-fold risk over the repeats.

    `calibration`, `histogram` (without and with disease) and `thresholds` are the best model's; `roc` and
    `precision_recall` are by model.
    """

    calibration: tuple[CalibrationBin, ...]
    histogram: tuple[tuple[int, ...], tuple[int, ...]]
    thresholds: tuple[ThresholdMetrics, ...]
    roc: dict[str, Curve]
    precision_recall: dict[str, Curve]


class HospitalResult(msgspec.Struct, frozen=True):
    """Models that were fitted on the training rows, evaluated on another hospital's patients.

    `prevalence_brier` is the Brier score of predicting the hospital's prevalence for everybody. `coverage` is that of
    the best model's label sets. `groups` has the best model's performance by subgroup of the table; sensitivity and
    specificity are counts there, however small the group.
    """

    patients: int
    events: int
    prevalence_brier: float
    models: dict[str, Performance]
    coverage: LabelSetCoverage | None
    groups: dict[str, Performance]


class FullEvaluation(msgspec.Struct, frozen=True):
    """The part of the report that a quick run skips.

    `subgroups` is by group and model. Of a group with fewer than 20 patients of either outcome, sensitivity and
    specificity are counts, of labels of the mean risk over the repeats.

    `hospitals` names the hospitals; if the rows do not identify one, its file. `other_hospitals` is by hospital.
    `leave_one_hospital_out` is by the hospital that was left out of training and tested on. `shared_rows` counts each
    hospital's rows that are excluded from both, because they are also among the training rows or in another hospital's
    file.

    `coverage` is that of label sets, `coverage_with_gap` without the most common gap. For a forest, which has no label
    sets there, it is None, and `interval_coverage` and `measure_next` are empty.

    `odds_ratios` are of the logistic regression, whose penalty shrinks them towards 1: for one standard deviation more,
    for yes against no, or for one of several codes against the average patient. `permutation_importance` is the
    increase of the forest's log loss when a field is permuted, out of fold. `recalibration_harm` simulates
    recalibrations of the best model, by hospital.
    """

    tuning: dict[str, TuningResult]
    tuning_performance: dict[str, Performance]
    curves: Curves
    subgroups: dict[str, dict[str, Performance]]
    hospitals: dict[str, str]
    shared_rows: dict[str, int]
    other_hospitals: dict[str, HospitalResult]
    leave_one_hospital_out: dict[str, dict[str, Performance]]
    learning_curve: dict[str, tuple[LearningCurvePoint, ...]]
    instability: Instability
    coverage: LabelSetCoverage
    coverage_with_gap: LabelSetCoverage | None
    interval_coverage: tuple[IntervalCoverage, ...]
    measure_next: tuple[MeasureNextBenefit, ...]
    sample_size: SampleSize
    odds_ratios: dict[str, Estimate]
    permutation_importance: dict[str, float]
    permuted_labels_roc_auc: float
    recalibration_harm: tuple[Harm, ...] = ()


class EvaluationReport(msgspec.Struct, frozen=True):
    """The results of a training run's evaluation.

    `table` is the identifier of the feature table, `event` its word for the outcome, `common_gap` its most common set
    of missing fields. `five_fold` is one cross-validation with the run's seed: mean and standard deviation over the
    folds. `missing_fields` has the performance over all `repeats` by set of deleted fields ("none" first) and by model,
    the baseline among them; intervals are over bootstrap samples of the patients. `baseline_at_equal_specificity` has
    the baseline, by set of deleted fields, at the threshold where its specificity equals the best model's. `full` is
    None for a quick run.
    """

    schema: str
    table: str
    event: str
    common_gap: str
    data: DataEntry
    population: Population
    seed: int
    threshold: float
    repeats: int
    bootstraps: int
    five_fold: dict[str, dict[str, Metric]]
    missing_fields: dict[str, dict[str, Performance]]
    baseline_at_equal_specificity: dict[str, OperatingPoint]
    selection_criteria: tuple[SelectionCriteria, ...]
    selection: Selection
    full: FullEvaluation | None

    def as_json(self) -> bytes:
        """Return the report as indented JSON, in the order of its fields."""
        return to_json(self)


_DIGITS = 6


def to_json(results: msgspec.Struct) -> bytes:
    """Return results as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(_rounded(msgspec.to_builtins(results))), indent=1) + b"\n"


def _rounded(value: object) -> object:
    """Round floats to 6 significant digits: further digits differ between machines."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(inner) for inner in value]
    return value
