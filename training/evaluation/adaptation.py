"""How far a model must be changed for a hospital's own patients: keep, intercept, slope, refit, or refuse.

A closed test of Vergouwe et al. (Statistics in Medicine, 2017) compares a refit with the model as it is, with a new
intercept and with a new slope, in this order. They use likelihood ratios, which do not hold for a penalised refit and
did harm at one hospital (decision 64): here a rung must have a lower cross-validated log loss than each lower one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from sklearn.base import clone

from schemas.errors import DataError
from scoring.compiled_table import CompiledTable
from scoring.estimators import averages, new_preprocessor
from scoring.logistic import logistic
from scoring.submodels import PatternSubmodels, centered, fit_logistic
from training.arrays import Labels, Matrix, Risks
from training.candidates import local_candidate, penalty_of
from training.data.checks import MIN_PER_OUTCOME
from training.estimates import MIN_PATIENTS, Z_95, Estimate
from training.evaluation.cross_validation import FOLDS, stratified_folds
from training.evaluation.metrics import log_losses, roc_auc
from training.evaluation.recalibration import (
    MIN_OUTCOMES,
    Advice,
    Line,
    Proposal,
    certain_shift,
    fit_line,
    propose_shift,
)
from training.sample_size import SampleSize, parameter_count, required_patients, sample_size

REPEATS: Final = 4
"""Cross-validations of every rung; their losses are averaged by patient."""
PREVALENCE: Final = "prevalence"


class Rung(StrEnum):
    """What is done to a model, in ascending order."""

    KEEP = "keep"
    INTERCEPT = "intercept"
    """The log-odds are shifted by the proposal of `training.evaluation.recalibration`."""
    SLOPE = "slope"
    """Logistic recalibration: intercept and slope."""
    REFIT = "refit"
    """A classifier of the same kind, fitted on the local patients alone."""
    REFUSE = "refuse"
    """Predicting the prevalence for everybody is better than the best rung."""


class LocalPatients(NamedTuple):
    """Local outcomes (n,), the model's risks (n,), and preprocessed columns (n, columns).

    `columns` may have any scale, as each fit standardises them; they are None where only scores are known.
    """

    labels: Labels
    risks: Risks
    columns: Matrix | None = None

    def part(self, rows: Any) -> LocalPatients:
        """Return the patients in these rows."""
        return LocalPatients(self.labels[rows], self.risks[rows], None if self.columns is None else self.columns[rows])


class RungResult(msgspec.Struct, frozen=True):
    """A rung's cross-validated figures for the local patients.

    `gains` are the decreases of the mean log loss against each lower rung; chance explains one whose interval holds 0.
    """

    rung: str
    roc_auc: float
    brier: float
    log_loss: float
    gains: dict[str, Estimate] = {}


class Ladder(msgspec.Struct, frozen=True):
    """The rung that is chosen, and why.

    `rungs` are those that were tried, in ascending order; `not_tried` says why the others were not. `prevalence` are
    the figures of predicting the prevalence for everybody, and its gain over the best rung. `line` is what the rung
    makes of log-odds, None for a refit. `shift` is the proposal behind the intercept. `refit_size` has the
    patients that a refit of its performance needs by Riley's criteria; None if it was not tried.
    """

    decision: Rung
    rungs: tuple[RungResult, ...]
    not_tried: dict[str, str]
    prevalence: RungResult
    line: Line | None
    slope: float
    shift: Proposal
    refit_size: SampleSize | None

    def of(self, rung: str) -> RungResult:
        """Return the figures of a rung that was tried."""
        return next(each for each in self.rungs if each.rung == rung)


class LocalModel(NamedTuple):
    """What a refit is: an unfitted classifier of the model's kind, and the feature table."""

    classifier: Any
    compiled: CompiledTable

    @classmethod
    def like(cls, classifier: Any, compiled: CompiledTable) -> LocalModel:
        """Return the refit of a fitted linear classifier."""
        return cls(local_candidate(classifier).new(compiled, 0), compiled)

    def fitted_risks(self, columns: Matrix, labels: Labels, test: Matrix) -> Risks:
        """Fit on rows (n, columns); return the risks (m,) of others.

        Of the sub-models of a table that lists every pattern, fits only those that the others need.
        """
        spread = np.sqrt(averages(np.square(columns - averages(columns))))
        spread[len(self.compiled.columns.scaled) :] = 1.0
        spread[spread == 0] = 1.0
        known, others = columns / spread, test / spread
        patterns = self.compiled.pattern_columns
        if not isinstance(self.classifier, PatternSubmodels) or not patterns.patterns.are_all:
            risks: Risks = clone(self.classifier).fit(known, labels).predict_proba(others)[:, 1]
            return risks
        needed, model_of = np.unique(patterns.patterns_of(others), return_inverse=True)
        center, penalty = averages(known), penalty_of(self.classifier)
        fits = fit_logistic(centered(known, center), labels, patterns.used_in(needed), penalty)[model_of]
        return logistic(fits[:, 0] + (centered(others, center) * fits[:, 1:]).sum(axis=1))


def preprocessed(matrix: Matrix, compiled: CompiledTable) -> Matrix:
    """Return the columns (n, columns) of rows (n, fields), as `LocalPatients` has them."""
    columns: Matrix = new_preprocessor(compiled.columns).fit_transform(matrix)
    return columns


def rung_risks(rung: str, known: LocalPatients, others: LocalPatients, local: LocalModel) -> Risks:
    """Return the risks of other patients by a rung that is fitted on known ones."""
    if rung == PREVALENCE:
        return np.full(len(others.labels), known.labels.mean())
    if rung == Rung.REFIT:
        if known.columns is None or others.columns is None:
            raise TypeError("a refit needs the fields of the patients")
        return local.fitted_risks(known.columns, known.labels, others.columns)
    if rung == Rung.KEEP:
        return others.risks
    fit = certain_shift if rung == Rung.INTERCEPT else fit_line
    return fit(known.labels, known.risks).risks(others.risks)


def climb(patients: LocalPatients, local: LocalModel, seed: int, up_to: Rung | None = None) -> Ladder:
    """Return the highest rung of slope and refit that improves on the cross-validated log loss of every lower one.

    Otherwise the intercept where `propose_shift` proposes one, or keep.

    `up_to` is the highest rung to try; by default it is the highest that the patients suffice for. Blocks for seconds.
    Raises DataError, with the number needed, if they do not suffice for `up_to`, or for anything.
    """
    _check_size(patients.labels)
    parameters = parameter_count(local.compiled)
    not_tried = _not_tried(patients, parameters, up_to)
    slope = fit_line(patients.labels, patients.risks)
    if slope.slope <= 0:
        not_tried.setdefault(Rung.SLOPE, "the ranking is reversed, and a slope below 0 would reverse every reason")
    tried = [rung for rung in (Rung.KEEP, Rung.INTERCEPT, Rung.SLOPE, Rung.REFIT) if rung not in not_tried]
    risks = _out_of_fold([PREVALENCE, *tried], patients, local, seed)
    found = tuple(_result(rung, tried[:place], risks, patients.labels) for place, rung in enumerate(tried))
    proposal = propose_shift(patients.labels, patients.risks)
    best = _highest(found, proposal)
    prevalence = _result(PREVALENCE, [best], risks, patients.labels)
    lines = {
        Rung.KEEP: Line(0.0),
        Rung.INTERCEPT: Line(proposal.proposed or 0.0, error=proposal.standard_error or 0.0),
        Rung.SLOPE: slope,
    }
    refused = prevalence.gains[best].low > 0
    decision, line = Rung.REFUSE if refused else best, lines.get(best)
    size = None if Rung.REFIT in not_tried else sample_size(patients.labels, parameters, found[-1].log_loss)
    return Ladder(decision, found, not_tried, prevalence, line, slope.slope, proposal, size)


def _highest(found: Sequence[RungResult], proposal: Proposal) -> Rung:
    for each in reversed(found):
        if each.rung in {Rung.SLOPE, Rung.REFIT} and improves_on_all(each):
            return Rung(each.rung)
    return Rung.INTERCEPT if proposal.advice is Advice.RECALIBRATE else Rung.KEEP


def improves_on_all(result: RungResult) -> bool:
    """Return whether a rung is better than each lower one, beyond chance."""
    return all(gain.low > 0 for gain in result.gains.values())


def _check_size(labels: Labels) -> None:
    events = int(labels.sum())
    if len(labels) < MIN_OUTCOMES or min(events, len(labels) - events) < FOLDS:
        raise DataError(
            f"{len(labels)} patients, {events} with the outcome, are too few: an adaptation needs {MIN_OUTCOMES}, at "
            f"least {FOLDS} of them of either outcome"
        )


def _not_tried(patients: LocalPatients, parameters: int, up_to: Rung | None) -> dict[str, str]:
    """Return why rungs are not tried. Raises DataError if that concerns `up_to`."""
    events, reasons = int(patients.labels.sum()), dict[str, str]()
    fewest = min(events, len(patients.labels) - events)
    if fewest < MIN_PATIENTS:
        reasons[Rung.SLOPE] = f"it needs {MIN_PATIENTS} patients of either outcome, there are {fewest}"
    if fewest < MIN_PER_OUTCOME:
        required = required_patients(events / len(patients.labels), parameters)
        useful = f"a useful one about {required} patients (Riley's criteria)"
        reasons[Rung.REFIT] = f"it needs {MIN_PER_OUTCOME} patients of either outcome, there are {fewest}, and {useful}"
    if patients.columns is None:
        reasons[Rung.REFIT] = "it needs the fields of the patients: --data"
    if up_to in reasons:
        raise DataError(f"{up_to} is not possible with {len(patients.labels)} patients: {reasons[up_to]}")
    order = list(Rung)
    above = order[order.index(up_to) + 1 : -1] if up_to else []
    return {**reasons, **dict.fromkeys(above, f"it is above {up_to}")}


def _out_of_fold(rungs: Sequence[str], patients: LocalPatients, local: LocalModel, seed: int) -> Mapping[str, Matrix]:
    """Return the out-of-fold risks of each rung, (repeats, n)."""
    risks = {rung: np.empty((REPEATS, len(patients.labels))) for rung in rungs}
    for repeat in range(REPEATS):
        for train, test in stratified_folds(patients.labels, seed + repeat):
            known, others = patients.part(train), patients.part(test)
            for rung in rungs:
                risks[rung][repeat, test] = rung_risks(rung, known, others, local)
    return risks


def _result(rung: str, lower: Sequence[str], risks: Mapping[str, Matrix], labels: Labels) -> RungResult:
    own = risks[rung]
    ones = np.ones((1, len(labels)))
    return RungResult(
        rung,
        roc_auc=float(np.mean([roc_auc(labels, run, ones)[0] for run in own])),
        brier=float(np.square(own - labels).mean()),
        log_loss=float(_losses(labels, own).mean()),
        gains={each: _gain(_losses(labels, risks[each]) - _losses(labels, own)) for each in lower},
    )


def _losses(labels: Labels, runs: Matrix) -> Risks:
    """Return each patient's log loss, averaged over the runs (repeats, n)."""
    losses: Risks = np.mean([log_losses(labels, run) for run in runs], axis=0)
    return losses


def _gain(by_patient: Risks) -> Estimate:
    mean, reach = float(by_patient.mean()), Z_95 * float(by_patient.std(ddof=1)) / len(by_patient) ** 0.5
    return Estimate(mean, mean - reach, mean + reach)
