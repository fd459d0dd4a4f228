"""How much chance is in a model: with fewer patients, with other patients, and in its own promises."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from schemas.features import FEATURE_NAMES, FEATURES
from scoring.estimators import BINARY, COLUMN_FIELDS, ONE_HOT, SCALED, averages, new_preprocessor
from scoring.logistic import logistic
from scoring.submodels import centered, fit_logistic
from training.arrays import Labels, Matrix
from training.candidates import INVERSE_PENALTY
from training.estimates import Estimate, estimate

_UNSURE: Final = (0.3, 0.7)


class Instability(msgspec.Struct, frozen=True):
    """How far a patient's risk moves over models from bootstrap samples: widths that hold 95% of them.

    `changing` is the share of patients whose label changes in more than 5% of the models.
    """

    models: int
    median_width: float
    ninth_decile_width: float
    median_width_unsure: float
    changing: float
    risks: tuple[float, ...]
    widths: tuple[float, ...]


class Refits(msgspec.Struct, frozen=True):
    """The logistic regression on all patients, and on samples of them.

    `average` (22,) is the average patient after the preprocessor, `centered` (n, 22) are the patients less that one;
    `coefficients` (1 + samples, 23) begin with the intercept, and with the regression on all.
    """

    average: Matrix
    centered: Matrix
    coefficients: Matrix


def refits(matrix: Matrix, labels: Labels, weights: Matrix) -> Refits:
    """Fit the logistic regression once for each row of weights (1 + samples, n), the first of which counts all once.

    The fields are scaled as for all patients; the fit alone is done again.
    """
    inputs = new_preprocessor().fit_transform(matrix)
    average = averages(inputs)
    z = centered(inputs, average)
    used = np.ones((1, z.shape[1]), dtype=bool)
    whole = fit_logistic(z, labels, used, 1 / INVERSE_PENALTY)
    again = [fit_logistic(z, labels, used, 1 / INVERSE_PENALTY, row, whole)[0] for row in weights[1:]]
    return Refits(average, z, np.array([whole[0], *again]))


def instability(refitted: Refits, threshold: float) -> Instability:
    """Look at each patient's risks over models from bootstrap samples (Riley and Collins, 2023)."""
    design = np.column_stack([np.ones(len(refitted.centered)), refitted.centered])
    found = logistic(refitted.coefficients @ design.T)
    ours, risks = found[0], found[1:]
    low, high = np.quantile(risks, [0.025, 0.975], axis=0)
    widths, unsure = high - low, (ours >= _UNSURE[0]) & (ours <= _UNSURE[1])
    changing = ((risks >= threshold) != (ours >= threshold)).mean(axis=0) > 0.05  # noqa: PLR2004  # as documented
    return Instability(
        models=len(risks),
        median_width=float(np.median(widths)),
        ninth_decile_width=float(np.quantile(widths, 0.9)),
        median_width_unsure=float(np.median(widths[unsure])),
        changing=float(changing.mean()),
        risks=tuple(np.round(ours, 4).tolist()),
        widths=tuple(np.round(widths, 4).tolist()),
    )


def odds_ratios(refitted: Refits) -> dict[str, Estimate]:
    """Return the logistic regression's odds ratios, with their spread over bootstrap samples.

    Of a scale: for a standard deviation more. Of a 0/1 field: for 1 against 0. Of a code: against the average patient,
    who has a share of each of its field's codes.
    """
    fits = refitted.coefficients[:, 1:]
    fields, coded = np.array(COLUMN_FIELDS), len(SCALED) + len(BINARY)
    same = (fields[:, None] == fields) & (np.arange(len(fields)) >= coded)
    against = fits - (fits * refitted.average) @ same
    return {name: estimate(np.exp(against[:, place])) for place, name in enumerate(column_names())}


def column_names() -> list[str]:
    """Name the preprocessor's 22 columns, codes with what they mean."""
    codes = {name: FEATURES[FEATURE_NAMES.index(name)].codes for name in ONE_HOT}
    return [*SCALED, *BINARY, *(f"{name} {code} ({text})" for name in ONE_HOT for code, text in codes[name])]


def parameter_count() -> int:
    """Count what the logistic regression is free to choose: a column of each block of codes follows from the others."""
    return len(column_names()) - len(ONE_HOT)
