"""Stability of risks and odds ratios over bootstrap refits of the logistic regression."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np

from scoring.compiled_table import CompiledTable
from scoring.estimators import averages, new_preprocessor
from scoring.logistic import logistic
from scoring.submodels import centered, fit_logistic
from training.arrays import Labels, Matrix
from training.candidates import INVERSE_PENALTY
from training.estimates import Estimate, bootstrap_estimate

_UNSURE: Final = (0.3, 0.7)


class Instability(msgspec.Struct, frozen=True):
    """How much each patient's risk varies over bootstrap models, as the width of the central 95%.

    `changing` is the share of patients whose label changes in more than 5% of the models. `unsure` patients have a risk
    of 0.3 to 0.7.
    """

    models: int
    median_width: float
    ninth_decile_width: float
    median_width_unsure: float
    changing: float
    risks: tuple[float, ...]
    widths: tuple[float, ...]


class BootstrapRefits(msgspec.Struct, frozen=True):
    """The logistic regression fitted on all patients and on bootstrap samples.

    `average` (columns,) is the mean of the preprocessed rows, `centered` (n, columns) are the rows minus it. The first
    row of `coefficients` (1 + samples, 1 + columns) is the fit on all patients, the first column the intercept.
    """

    average: Matrix
    centered: Matrix
    coefficients: Matrix


def bootstrap_refits(matrix: Matrix, labels: Labels, weights: Matrix, compiled: CompiledTable) -> BootstrapRefits:
    """Fit the logistic regression once for each row of weights (1 + samples, n), of which the first is all ones.

    The preprocessor is fitted once, on all patients.
    """
    inputs = new_preprocessor(compiled.columns).fit_transform(matrix)
    average = averages(inputs)
    z = centered(inputs, average)
    used = np.ones((1, z.shape[1]), dtype=bool)
    whole = fit_logistic(z, labels, used, 1 / INVERSE_PENALTY)
    samples = [fit_logistic(z, labels, used, 1 / INVERSE_PENALTY, row, whole)[0] for row in weights[1:]]
    return BootstrapRefits(average, z, np.array([whole[0], *samples]))


def instability(refits: BootstrapRefits, threshold: float) -> Instability:
    """Measure the prediction instability over bootstrap models (Riley and Collins, 2023)."""
    design = np.column_stack([np.ones(len(refits.centered)), refits.centered])
    by_model = logistic(refits.coefficients @ design.T)
    original, risks = by_model[0], by_model[1:]
    low, high = np.quantile(risks, [0.025, 0.975], axis=0)
    widths, unsure = high - low, (original >= _UNSURE[0]) & (original <= _UNSURE[1])
    changing = ((risks >= threshold) != (original >= threshold)).mean(axis=0) > 0.05  # noqa: PLR2004  # as documented
    return Instability(
        models=len(risks),
        median_width=float(np.median(widths)),
        ninth_decile_width=float(np.quantile(widths, 0.9)),
        median_width_unsure=float(np.median(widths[unsure])),
        changing=float(changing.mean()),
        risks=tuple(np.round(original, 4).tolist()),
        widths=tuple(np.round(widths, 4).tolist()),
    )


def odds_ratios(refits: BootstrapRefits, compiled: CompiledTable) -> dict[str, Estimate]:
    """Return the logistic regression's odds ratios, with their bootstrap intervals.

    Of a numeric field for one standard deviation, of a 0/1 field for 1 against 0, of a code against the average
    patient, who has each of the field's codes in part.
    """
    fits = refits.coefficients[:, 1:]
    columns = compiled.columns
    fields, coded = np.array(columns.field_of), len(columns.scaled) + len(columns.binary)
    same = (fields[:, None] == fields) & (np.arange(len(fields)) >= coded)
    against = fits - (fits * refits.average) @ same
    return {name: bootstrap_estimate(np.exp(against[:, place])) for place, name in enumerate(column_names(compiled))}


def column_names(compiled: CompiledTable) -> list[str]:
    """Return the names of the preprocessor's columns, codes with their meaning."""
    table, columns = compiled.table, compiled.columns
    return [
        *(table.names[j] for j in (*columns.scaled, *columns.binary)),
        *(
            f"{table.names[j]} {sent} ({meaning})"
            for j in columns.one_hot
            for sent, (_, meaning) in zip(table.features[j].sent, table.features[j].codes, strict=True)
        ),
    ]
