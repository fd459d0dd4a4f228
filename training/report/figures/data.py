"""Figures of the data. Every function takes a frame of all four hospitals, as `training.data.frames` reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from schemas.tables.builtin import UCI_HEART
from training.data.exploration import (
    CODED_FIELDS,
    NUMERIC_FIELDS,
    SITE_NAMES,
    cramers_v,
    missing_shares,
    population_stability_index,
    prevalence,
    rank_correlations,
    severity_counts,
    zero_cholesterol,
)
from training.data.frames import TRAINING_SITE, site_rows, target
from training.report.figures.style import GREY, HEALTHY, ILL, PALETTE, SEVERITY, short, with_error_bars

_ALARM: Final = 0.25
_AGE_LIMIT: Final = 220


def outcomes(frame: pd.DataFrame) -> Figure:
    """Draw the patients of each hospital, by severity."""
    figure = Figure(figsize=(7, 3))
    axes = figure.subplots()
    counts = severity_counts(frame)
    left = np.zeros(len(counts))
    for num, colour in zip(counts.columns, SEVERITY, strict=True):
        label = "0: no vessel narrowed by 50%" if num == 0 else f"{num}"
        axes.barh([SITE_NAMES[site] for site in counts.index], counts[num], left=left, color=colour, label=label)
        left += counts[num].to_numpy()
    ill = 1 - counts[0] / counts.sum(axis=1)
    for place, (total, share) in enumerate(zip(left, ill, strict=True)):
        axes.text(total + 3, place, f"{share:.0%} with disease", va="center", fontsize=8)
    axes.set(xlabel="patients", xlim=(0, 520))
    axes.invert_yaxis()
    axes.legend(title="num (Budapest: 0 and 1 only)", fontsize=8, title_fontsize=8, loc="lower right")
    axes.set_title("Patients and prevalence by hospital")
    return figure


def missingness(frame: pd.DataFrame) -> Figure:
    """Draw the share of patients without a value, by hospital and field."""
    figure = Figure(figsize=(8.4, 2.8))
    axes = figure.subplots()
    shares = missing_shares(frame)
    axes.imshow(shares, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    for (i, j), share in np.ndenumerate(shares.to_numpy()):
        text = f"{share:.0%}" if share >= 0.005 else ""  # noqa: PLR2004  # what rounds to 1%
        axes.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if share > 0.6 else "black")  # noqa: PLR2004  # legible
    axes.set_xticks(range(len(UCI_HEART.names)), UCI_HEART.names, fontsize=8)
    axes.set_yticks(range(len(shares)), [SITE_NAMES[site] for site in shares.index])
    axes.set_title("Share missing: ca was rarely measured outside Cleveland, thal only in part")
    return figure


def distributions(frame: pd.DataFrame) -> Figure:
    """Draw Cleveland's numeric fields by outcome, and cholesterol of all hospitals, zeros included."""
    figure = Figure(figsize=(8.6, 5))
    panels = figure.subplots(2, 3).ravel()
    cleveland = site_rows(frame, TRAINING_SITE)
    labels = target(cleveland)
    for axes, name in zip(panels, NUMERIC_FIELDS, strict=False):
        values = cleveland[name].to_numpy()
        bins = np.linspace(values.min(), values.max(), 24)
        for outcome, colour, label in ((0, HEALTHY, "no disease"), (1, ILL, "disease")):
            axes.hist(values[labels == outcome], bins, color=colour, alpha=0.55, label=label)
        axes.set(xlabel=f"{name} [{_unit(name)}]", ylabel="patients" if name in {"age", "thalach"} else "")
    panels[0].legend(fontsize=8)
    panels[0].set_title("Cleveland, by outcome")
    zeros = zero_cholesterol()
    axes = panels[-1]
    axes.hist(np.concatenate([frame["chol"].dropna(), np.zeros(sum(zeros.values()))]), 40, color=GREY)
    axes.set(xlabel="chol [mg/dL], all hospitals, uncleaned")
    axes.set_title(f"{sum(zeros.values())} zeros mean “not measured”", fontsize=9)
    return figure


def prevalences(frame: pd.DataFrame) -> Figure:
    """Draw the prevalence by code of each coded field, in Cleveland."""
    figure = Figure(figsize=(8.6, 6.4))
    cleveland = site_rows(frame, TRAINING_SITE)
    overall = float(target(cleveland).mean())
    for axes, name in zip(figure.subplots(4, 2, sharex=True).ravel(), CODED_FIELDS, strict=True):
        rows = list(prevalence(cleveland, name))
        shares, reach = with_error_bars(share for _, _, share in rows)
        places = np.arange(len(rows))[::-1]
        axes.barh(places, shares, color=HEALTHY, alpha=0.75, height=0.7)
        axes.errorbar(shares, places, xerr=reach, fmt="none", color="black", capsize=2, lw=0.9)
        axes.axvline(overall, color=ILL, lw=0.9, ls="--")
        axes.set_yticks(places, [f"{short(text)} ({count})" for text, count, _ in rows], fontsize=7.5)
        axes.set(xlim=(0, 1))
        axes.set_title(name, fontsize=9)
    figure.supxlabel("share with disease, 95% Wilson interval; dashed: Cleveland overall", fontsize=9)
    return figure


def correlations(frame: pd.DataFrame) -> Figure:
    """Draw Spearman's correlations, and Cramér's V of each coded field with disease, in Cleveland."""
    figure = Figure(figsize=(9, 5))
    left, right = figure.subplots(1, 2, width_ratios=[3, 1.2])
    cleveland = site_rows(frame, TRAINING_SITE)
    table = rank_correlations(cleveland)
    left.imshow(table, cmap="RdBu_r", vmin=-1, vmax=1)
    left.grid(visible=False)
    for (i, j), value in np.ndenumerate(table.to_numpy()):
        if i > j:
            left.text(
                j, i, f"{value:.2f}".replace("0.", ".").replace("-.00", ".00"), ha="center", va="center", fontsize=6.5
            )
    left.set_xticks(range(len(table)), table.columns, rotation=60, ha="right", fontsize=8)
    left.set_yticks(range(len(table)), table.index, fontsize=8)
    left.set_title("Rank correlation (Spearman; codes as numbers)")
    strengths = cramers_v(cleveland)
    right.barh(list(strengths), list(strengths.values()), color=HEALTHY)
    right.invert_yaxis()
    right.set(xlabel="Cramér's V with disease", xlim=(0, 0.6))
    right.set_title("Coded fields")
    return figure


def heart_rate(frame: pd.DataFrame) -> Figure:
    """Draw the maximum heart rate against age, in Cleveland."""
    figure = Figure(figsize=(6, 3.8))
    axes = figure.subplots()
    cleveland = site_rows(frame, TRAINING_SITE)
    labels = target(cleveland)
    for outcome, colour, label in ((0, HEALTHY, "no disease"), (1, ILL, "disease")):
        chosen = cleveland[labels == outcome]
        axes.scatter(chosen["age"], chosen["thalach"], s=13, color=colour, alpha=0.6, lw=0, label=label)
    ages = np.array([cleveland["age"].min(), cleveland["age"].max()])
    axes.plot(ages, _AGE_LIMIT - ages, color="black", lw=1, ls="--", label="220 - age")
    axes.set(xlabel="age [years]", ylabel="thalach [beats/min]")
    axes.set_title("Patients with disease mostly reach lower heart rates")
    axes.legend(fontsize=8, loc="lower left")
    return figure


def outliers(frame: pd.DataFrame) -> Figure:
    """Draw box plots of the numeric fields by hospital, with outliers as points."""
    figure = Figure(figsize=(8.6, 3.2))
    for axes, name in zip(figure.subplots(1, len(NUMERIC_FIELDS)), NUMERIC_FIELDS, strict=True):
        groups = [frame.loc[frame["site"] == site, name].dropna() for site in SITE_NAMES]
        axes.boxplot(groups, widths=0.6, flierprops={"ms": 3, "mec": ILL}, medianprops={"color": HEALTHY})
        axes.set_xticks(range(1, 5), ["Cle", "Bud", "Z+B", "VA"], fontsize=7.5)
        axes.set_title(name, fontsize=9)
        axes.set_ylabel(_unit(name), fontsize=8)
    figure.suptitle(
        "Outliers: very high cholesterol and ST depression, and ST elevation (below 0) outside Cleveland",
        x=0.01,
        ha="left",
        fontsize=10,
        fontweight="bold",
    )
    return figure


def site_shift(frame: pd.DataFrame) -> Figure:
    """Draw the population stability index of each hospital against Cleveland."""
    figure = Figure(figsize=(8.6, 3.4))
    axes = figure.subplots()
    sites = [site for site in SITE_NAMES if site != TRAINING_SITE]
    places = np.arange(len(UCI_HEART.names))
    for number, (site, colour) in enumerate(zip(sites, PALETTE, strict=False)):
        found = population_stability_index(frame, site)
        heights = [found.get(name, np.nan) for name in UCI_HEART.names]
        axes.bar(places + 0.27 * (number - 1), heights, 0.27, color=colour, label=SITE_NAMES[site])
    axes.axhline(_ALARM, color="black", lw=1, ls="--")
    axes.text(4.5, _ALARM + 0.05, "common alarm, 0.25", ha="center", fontsize=8)
    axes.set_xticks(places, UCI_HEART.names, fontsize=8)
    axes.set(ylabel="population stability index")
    axes.set_title("Every other hospital differs from Cleveland")
    axes.legend(fontsize=8)
    return figure


DATA_FIGURES: Final[Mapping[str, Callable[[pd.DataFrame], Figure]]] = {
    "outcomes": outcomes,
    "missingness": missingness,
    "distributions": distributions,
    "prevalences": prevalences,
    "correlations": correlations,
    "heart-rate": heart_rate,
    "outliers": outliers,
    "site-shift": site_shift,
}
"""All figures of the data, by file name."""


def _unit(name: str) -> str:
    return str(UCI_HEART.features[UCI_HEART.names.index(name)].unit)
