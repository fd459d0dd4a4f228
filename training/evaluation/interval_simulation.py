"""Simulates the coverage of 90% intervals by drawing independent training samples.

The training patients' fields represent the population, and a regression on them the true risks, from which outcomes are
drawn. One model and its intervals are fitted to one sample, a second model to an independent sample of the same size.
The claim: for new patients with missing fields, the second model's risk with all fields measured lies in the first
model's interval in 90% of cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from scoring.compiled_table import CompiledTable
from scoring.estimators import averages, new_preprocessor
from scoring.features import Mask
from scoring.logistic import logistic
from scoring.submodels import PatternSubmodels, centered, fit_logistic
from training.arrays import Labels, Matrix
from training.candidates import penalty_of
from training.estimates import MIN_PATIENTS, bootstrap_weights
from training.evaluation.repeated_cv import missing_patterns
from training.evaluation.uncertainty import base_pattern, bootstrap_coefficients, complete_rows, interval_reaches

TRUTHS: Final[Mapping[str, float]] = {"as the model": 1.0, "more extreme": 0.1}
"""The regressions that represent the truth, by their share of the model's penalty."""
_REPEATS: Final = 120
_BOOTSTRAPS: Final = 40


class IntervalCoverage(msgspec.Struct, frozen=True):
    """Simulated coverage of the interval for patients with missing fields.

    `other_model` is, by truth, the coverage of the risk of a second model with all fields measured: the claim, 0.9.
    `true_risk` is, by truth, the coverage of the true risk, which is not claimed. Under the first truth, `by_group` is
    the coverage in each patient group, `width` the median width of the interval, and `error` the standard error of the
    coverage.
    """

    missing_fields: str
    other_model: dict[str, float]
    true_risk: dict[str, float]
    by_group: dict[str, float]
    width: float
    error: float


class _Pair(msgspec.Struct, frozen=True):
    """One simulated pair of models: by new patient and pattern, what the interval covers, and its width."""

    groups: npt.NDArray[np.intp]
    other_model: npt.NDArray[np.bool_]
    true_risk: npt.NDArray[np.bool_]
    width: Matrix


def simulate_interval_coverage(
    classifier: Any,
    matrix: Matrix,
    labels: Labels,
    compiled: CompiledTable,
    gaps: Mapping[str, Sequence[str]],
    seed: int,
    repeats: int = _REPEATS,
) -> tuple[IntervalCoverage, ...]:
    """Simulate pairs of a linear classifier, on samples as large as the rows (n, fields). Takes some seconds.

    A record counts as complete without the fields that few rows have (`base_pattern`). Empty for fewer than 20 complete
    rows of either outcome.
    """
    base = base_pattern(matrix, compiled.patterns)
    complete = complete_rows(matrix, base, compiled.patterns)
    rows, outcomes = matrix[complete], labels[complete]
    if np.bincount(outcomes, minlength=2).min() < MIN_PATIENTS:
        return ()
    missing = missing_patterns(gaps, base, compiled.patterns)
    used = compiled.pattern_columns.used_in(np.array(list(missing.values())))
    seeds = range(seed, seed + repeats)
    penalty = penalty_of(classifier)
    truths = {name: _Fit(rows, outcomes, used[:1], penalty * share, compiled) for name, share in TRUTHS.items()}
    pairs = {
        name: list(_simulated(classifier, rows, truth, used, seeds, len(labels), compiled))
        for name, truth in truths.items()
    }
    return tuple(_coverage(place, name, pairs, compiled.groups.names) for place, name in enumerate(missing))


def _coverage(
    place: int, name: str, pairs: Mapping[str, Sequence[_Pair]], group_names: Sequence[str]
) -> IntervalCoverage:
    def share(part: str, of: Sequence[_Pair]) -> float:
        return float(np.mean([getattr(each, part)[:, place] for each in of]))

    first = next(iter(pairs.values()))
    groups = np.concatenate([each.groups for each in first])
    shares = [float(each.other_model[:, place].mean()) for each in first]
    covered = np.concatenate([each.other_model[:, place] for each in first])
    return IntervalCoverage(
        missing_fields=name,
        other_model={truth: share("other_model", of) for truth, of in pairs.items()},
        true_risk={truth: share("true_risk", of) for truth, of in pairs.items()},
        by_group={
            group: float(covered[groups == g].mean()) for g, group in enumerate(group_names) if (groups == g).any()
        },
        width=float(np.median(np.concatenate([each.width[:, place] for each in first]))),
        error=float(np.std(shares, ddof=1) / np.sqrt(len(shares))),
    )


def _simulated(
    classifier: Any,
    rows: Matrix,
    truth: _Fit,
    used: Mask,
    seeds: range,
    size: int,
    compiled: CompiledTable,
) -> Iterator[_Pair]:
    all_fields, groups_of = used[:1], compiled.groups.of
    rng = np.random.default_rng(seeds.start)
    fitted = used if isinstance(classifier, PatternSubmodels) else all_fields
    for seed in seeds:
        first, second, new = (rows[rng.integers(0, len(rows), size)] for _ in range(3))
        drawn = [rng.random(size) < logistic(truth.log_odds(sample)[:, 0]) for sample in (first, second)]
        one = _Fit(first, drawn[0].astype(np.int64), fitted, penalty_of(classifier), compiled)
        two = _Fit(second, drawn[1].astype(np.int64), all_fields, penalty_of(classifier), compiled)
        weights = bootstrap_weights(size, seed, _BOOTSTRAPS)[1:]
        fits = bootstrap_coefficients(classifier, one.z, one.labels, weights, used)
        reach, _ = interval_reaches(
            fits, one.z, weights, groups_of(first), len(compiled.groups), np.ones(size, dtype=bool), 0
        )
        log_odds, groups = one.log_odds(new, used), groups_of(new)
        limits = reach[:, groups].transpose(1, 0, 2)
        low, high = log_odds - limits[:, :, 0], log_odds + limits[:, :, 1]
        other, true = two.log_odds(new), truth.log_odds(new)
        yield _Pair(
            groups,
            (low <= other) & (other <= high),
            (low <= true) & (true <= high),
            logistic(high) - logistic(low),
        )


class _Fit:
    """Regressions on complete rows (n, fields), one for each row of `used` (models, columns)."""

    def __init__(self, rows: Matrix, labels: Labels, used: Mask, penalty: float, compiled: CompiledTable) -> None:
        self._preprocessor = new_preprocessor(compiled.columns).fit(rows)
        inputs = self._preprocessor.transform(rows)
        self._center = averages(inputs)
        self.z, self.labels = centered(inputs, self._center), labels
        self._coefficients = fit_logistic(self.z, labels, used, penalty)

    def log_odds(self, rows: Matrix, used: Mask | None = None) -> Matrix:
        """Return the log-odds (n, models) of rows, or with `used` (n, patterns): one model may serve all patterns."""
        z = centered(self._preprocessor.transform(rows), self._center)
        coefficients = self._coefficients[:, 1:] if used is None else self._coefficients[:, 1:] * used
        found: Matrix = z @ coefficients.T + self._coefficients[:, 0]
        return found
