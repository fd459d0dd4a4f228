"""Whether 90% intervals hold what they claim, by a simulation in which other training samples are really drawn.

The training patients' fields stand for the population, and a regression on them for the true risks; outcomes are drawn
by these. A model is trained on one sample and its intervals are measured as in a training run; a second model is
trained on an independent sample of the same size. The claim: for new patients who lack some fields, the second model's
risk with every field measured lies in the first one's interval in 90% of cases.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from scoring.estimators import COLUMN_FIELDS, averages, new_preprocessor
from scoring.features import Mask
from scoring.groups import GROUPS, groups_of
from scoring.logistic import logistic
from scoring.missingness import pattern_masks
from scoring.submodels import PatternSubmodels, centered, fit_logistic
from training.arrays import Labels, Matrix
from training.candidates import penalty_of
from training.estimates import FEWEST, samples
from training.evaluation.repeated_cv import lacking_beyond
from training.evaluation.uncertainty import base_pattern, informed_rows, reaches, resampled

TRUTHS: Final[Mapping[str, float]] = {"as the model": 1.0, "more extreme": 0.1}
"""The regressions that stand for the truth, by the share of the model's penalty that they have."""
_REPEATS: Final = 120
_BOOTSTRAPS: Final = 40


class IntervalCoverage(msgspec.Struct, frozen=True):
    """Shares of simulated cases in which the interval holds what it claims, for patients who lack some fields.

    `other_model` is by truth: the risk of another training with every field measured (the claim, 0.9). `true_risk` is
    by truth, too: the simulated true risk, which is not claimed. `by_group` is the claim under the first truth in each
    patient group, `width` the median width of the interval, as a share of 1, `error` the standard error of the claim
    under the first truth: what the number of simulated pairs leaves open.
    """

    lacking: str
    other_model: dict[str, float]
    true_risk: dict[str, float]
    by_group: dict[str, float]
    width: float
    error: float


class _Drawn(msgspec.Struct, frozen=True):
    """One simulated pair of trainings: by new patient and pattern, what lies in the interval, and its width."""

    groups: npt.NDArray[np.intp]
    other_model: npt.NDArray[np.bool_]
    true_risk: npt.NDArray[np.bool_]
    width: Matrix


def simulated_intervals(
    classifier: Any, matrix: Matrix, labels: Labels, seed: int, repeats: int = _REPEATS
) -> tuple[IntervalCoverage, ...]:
    """Simulate trainings of a linear classifier on samples as large as the rows (n, 13); some seconds.

    A record is complete without the fields that few rows have (`base_pattern`). Nothing can be simulated by fewer than
    20 complete rows of either outcome.
    """
    base = base_pattern(matrix)
    informed = informed_rows(matrix, base)
    rows, outcomes = matrix[informed], labels[informed]
    if np.bincount(outcomes, minlength=2).min() < FEWEST:
        return ()
    asked = lacking_beyond(base)
    used = ~pattern_masks()[list(asked.values())][:, list(COLUMN_FIELDS)]
    drawn = {
        truth: list(_simulated(classifier, rows, outcomes, used, share, range(seed, seed + repeats), len(labels)))
        for truth, share in TRUTHS.items()
    }
    return tuple(_counted(place, name, drawn) for place, name in enumerate(asked))


def _counted(place: int, name: str, drawn: Mapping[str, Sequence[_Drawn]]) -> IntervalCoverage:
    def share(part: str, of: Sequence[_Drawn]) -> float:
        return float(np.mean([getattr(each, part)[:, place] for each in of]))

    first = next(iter(drawn.values()))
    groups = np.concatenate([each.groups for each in first])
    shares = [float(each.other_model[:, place].mean()) for each in first]
    held = np.concatenate([each.other_model[:, place] for each in first])
    return IntervalCoverage(
        lacking=name,
        other_model={truth: share("other_model", of) for truth, of in drawn.items()},
        true_risk={truth: share("true_risk", of) for truth, of in drawn.items()},
        by_group={group: float(held[groups == g].mean()) for g, group in enumerate(GROUPS) if (groups == g).any()},
        width=float(np.median(np.concatenate([each.width[:, place] for each in first]))),
        error=float(np.std(shares, ddof=1) / np.sqrt(len(shares))),
    )


def _simulated(
    classifier: Any, rows: Matrix, outcomes: Labels, used: Mask, share: float, seeds: range, size: int
) -> Iterator[_Drawn]:
    everything = used[:1]
    truth = _Fit(rows, outcomes, everything, penalty_of(classifier) * share)
    chance = np.random.default_rng(seeds.start)
    fitted = used if isinstance(classifier, PatternSubmodels) else everything
    for seed in seeds:
        ours, theirs, asked = (rows[chance.integers(0, len(rows), size)] for _ in range(3))
        drawn = [chance.random(size) < logistic(truth.log_odds(sample)[:, 0]) for sample in (ours, theirs)]
        one = _Fit(ours, drawn[0].astype(np.int64), fitted, penalty_of(classifier))
        two = _Fit(theirs, drawn[1].astype(np.int64), everything, penalty_of(classifier))
        weights = samples(size, seed, _BOOTSTRAPS)[1:]
        fits = resampled(classifier, one.z, one.labels, weights, used)
        reach, _ = reaches(fits, one.z, weights, groups_of(ours), np.ones(size, dtype=bool), 0)
        found, groups = one.log_odds(asked, used), groups_of(asked)
        limits = reach[:, groups].transpose(1, 0, 2)
        low, high = found - limits[:, :, 0], found + limits[:, :, 1]
        other, true = two.log_odds(asked), truth.log_odds(asked)
        yield _Drawn(
            groups,
            (low <= other) & (other <= high),
            (low <= true) & (true <= high),
            logistic(high) - logistic(low),
        )


class _Fit:
    """Regressions on informed rows (n, 13), one for each row of `used` (models, 22)."""

    def __init__(self, rows: Matrix, labels: Labels, used: Mask, penalty: float) -> None:
        self._preprocessor = new_preprocessor().fit(rows)
        inputs = self._preprocessor.transform(rows)
        self._center = averages(inputs)
        self.z, self.labels = centered(inputs, self._center), labels
        self._coefficients = fit_logistic(self.z, labels, used, penalty)

    def log_odds(self, rows: Matrix, used: Mask | None = None) -> Matrix:
        """Return the log-odds (n, models) of rows; with `used`, (n, patterns): one model may serve all of them."""
        z = centered(self._preprocessor.transform(rows), self._center)
        coefficients = self._coefficients[:, 1:] if used is None else self._coefficients[:, 1:] * used
        found: Matrix = z @ coefficients.T + self._coefficients[:, 0]
        return found
