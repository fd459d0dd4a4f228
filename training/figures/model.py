"""Pictures of how a model does, from a training run's report. Those of `Deep` need a run that was not quick."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from training.explore import SITE_NAMES
from training.figures.style import GREY, HEALTHY, ILL, PALETTE
from training.measures import Performance
from training.report import Deep, Report
from training.usual import USUAL
from training.validation import COMPLETE

_SMALL: Final = (6.4, 3.6)


def calibration(report: Report, deep: Deep) -> Figure:
    """Draw observed shares against risks, with a histogram of risks below."""
    figure = Figure(figsize=(5.2, 5.2))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    risks = [each.risk for each in deep.calibration]
    shares = np.array([[each.share.value, each.share.low, each.share.high] for each in deep.calibration])
    above.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="perfect")
    above.errorbar(
        risks,
        shares[:, 0],
        np.abs(shares[:, 1:] - shares[:, :1]).T,
        fmt="o",
        color=HEALTHY,
        capsize=2,
        label="tenths of the patients, 95% interval",
    )
    slope = report.lacking[COMPLETE][report.choice.best].figures["slope"]
    above.set_title(f"Of patients at a risk, how many have disease?\n{_plain(report.choice.best)}, out of fold")
    above.text(0.97, 0.03, f"slope {_range(slope)}", ha="right", transform=above.transAxes)
    above.set(ylabel="share with disease", xlim=(0, 1), ylim=(-0.03, 1.03))
    above.legend(loc="upper left")
    edges = np.linspace(0, 1, len(deep.histogram[0]) + 1)
    for counts, colour, label, sign in zip(
        deep.histogram, (HEALTHY, ILL), ("without", "with disease"), (-1, 1), strict=True
    ):
        below.bar(edges[:-1], sign * np.array(counts), width=np.diff(edges), align="edge", color=colour, label=label)
    below.axhline(0, color="black", lw=0.6)
    below.set(xlabel="risk", ylabel="patients")
    below.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
    below.legend(loc="upper center", ncol=2, fontsize=8)
    return figure


def roc(_report: Report, deep: Deep) -> Figure:
    """Draw sensitivity against false alarms, and precision against sensitivity."""
    figure = Figure(figsize=(8, 3.8))
    left, right = figure.subplots(1, 2)
    for colour, dashes, (name, curve) in zip(PALETTE, ("-", "--", "-"), deep.roc.items(), strict=False):
        precise = deep.precision_recall[name]
        left.plot(curve.x, curve.y, color=colour, ls=dashes, label=_plain(name), lw=1.6)
        right.plot(precise.x, precise.y, color=colour, ls=dashes, lw=1.6)
    left.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--")
    left.set(xlabel="false alarms among those without disease", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01))
    left.set_title("The models rank alike (ROC)")
    left.legend(loc="lower right")
    right.set(xlabel="sensitivity", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    right.set_title("Precision and sensitivity")
    return figure


def decision_curve(report: Report, deep: Deep) -> Figure:
    """Draw net benefit against the threshold, beside acting on all and on nobody."""
    figure = Figure(figsize=_SMALL)
    axes = figure.subplots()
    at = [each.threshold for each in deep.thresholds]
    axes.plot(
        at, [each.net_benefit for each in deep.thresholds], "o-", color=HEALTHY, ms=4, label=_plain(report.choice.best)
    )
    axes.plot(
        at, [each.net_benefit_of_treating_all for each in deep.thresholds], color=ILL, ls="--", label="act on all"
    )
    axes.axhline(0, color=GREY, lw=1, label="act on nobody")
    axes.set(xlabel="threshold", ylabel="net benefit", ylim=(-0.1, 0.5), xlim=(0, 0.95))
    axes.set_title("Where acting on the risk is better than on all or on nobody")
    axes.legend()
    return figure


def missing(report: Report, _deep: Deep | None = None) -> Figure:
    """Draw sensitivity and bias as fields go missing, beside the usual pipeline."""
    figure = Figure(figsize=(8, 4.2))
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(report.lacking)
    places = np.arange(len(names))[::-1]
    for model, colour, shift in ((report.choice.best, HEALTHY, 0.15), (USUAL, ILL, -0.15)):
        found = [report.lacking[name][model].figures for name in names]
        for axes, figure_name in ((left, "recall"), (right, "bias")):
            values = np.array([[f[figure_name].value, f[figure_name].low, f[figure_name].high] for f in found])
            reach = np.abs(values[:, 1:] - values[:, :1]).T
            axes.errorbar(
                values[:, 0], places + shift, xerr=reach, fmt="o", color=colour, capsize=2, ms=4, label=_plain(model)
            )
    left.set_yticks(places, ["nothing" if name == COMPLETE else name for name in names])
    left.set(xlabel="sensitivity at the threshold", xlim=(-0.02, 1))
    right.axvline(0, color="black", lw=0.8)
    right.set(xlabel="mean risk less prevalence")
    left.set_title("Missing, and who is still found")
    right.set_title("... and how far risks are off")
    left.legend(loc="upper left", fontsize=8)
    return figure


def hospitals(report: Report, deep: Deep) -> Figure:
    """Draw how the best model does in hospitals that it was not trained in."""
    rows = {
        "Cleveland (out of fold)": report.lacking[COMPLETE][report.choice.best],
        **{SITE_NAMES[name]: site.models[report.choice.best] for name, site in deep.elsewhere.items()},
    }
    return _forest(rows, "Trained in Cleveland, asked elsewhere", height=2.6)


def subgroups(report: Report, deep: Deep) -> Figure:
    """Draw how the best model does on parts of the training patients."""
    rows = {name: models[report.choice.best] for name, models in deep.subgroups.items()}
    return _forest(rows, "Parts of Cleveland's patients, out of fold", height=3.2)


def odds_ratios(_report: Report, deep: Deep) -> Figure:
    """Draw the logistic regression's odds ratios."""
    figure = Figure(figsize=(7, 5.4))
    axes = figure.subplots()
    names = [
        name.replace("probable or definite left ventricular hypertrophy (Estes)", "LV hypertrophy")
        for name in deep.odds_ratios
    ]
    values = np.array([[e.value, e.low, e.high] for e in deep.odds_ratios.values()])
    places = np.arange(len(names))[::-1]
    axes.errorbar(
        values[:, 0], places, xerr=np.abs(values[:, 1:] - values[:, :1]).T, fmt="o", color=HEALTHY, capsize=2, ms=4
    )
    axes.axvline(1, color="black", lw=0.8)
    axes.set_xscale("log")
    axes.set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    axes.minorticks_off()
    axes.set_yticks(places, names, fontsize=7.5)
    axes.set(xlabel="odds ratio, 95% bootstrap interval")
    axes.set_title(
        "What raises the odds: a standard deviation more, 1 against 0\n"
        "(sex, fbs, exang), or a code against the average patient",
        loc="right",
    )
    return figure


def learning(_report: Report, deep: Deep) -> Figure:
    """Draw ROC-AUC against the number of patients trained on."""
    figure = Figure(figsize=_SMALL)
    axes = figure.subplots()
    for colour, (name, points) in zip(PALETTE, deep.learning.items(), strict=False):
        sizes, means = [p.patients for p in points], np.array([p.roc_auc for p in points])
        spread = np.array([p.deviation for p in points])
        axes.plot(sizes, means, "o-", color=colour, ms=4, label=_plain(name))
        axes.fill_between(sizes, means - spread, means + spread, color=colour, alpha=0.12, lw=0)
    axes.set(xlabel="patients trained on", ylabel="ROC-AUC (± deviation of a fold)", ylim=(0.8, 0.97))
    axes.set_title("More patients of this kind would hardly raise the ROC-AUC")
    axes.legend(loc="lower right")
    return figure


def instability(_report: Report, deep: Deep) -> Figure:
    """Draw how wide each patient's risk is over bootstrap models."""
    figure = Figure(figsize=_SMALL)
    axes = figure.subplots()
    axes.scatter(deep.instability.risks, deep.instability.widths, s=12, color=HEALTHY, alpha=0.6, lw=0)
    axes.set(xlabel="risk", ylabel="width that holds 95% of models", xlim=(0, 1), ylim=(0, None))
    axes.set_title(
        "Risks in the middle depend most on who was trained on\n"
        f"{deep.instability.models} bootstrap models; each point is a patient"
    )
    return figure


MODEL_FIGURES: Final[Mapping[str, Callable[[Report, Deep], Figure]]] = {
    "calibration": calibration,
    "roc": roc,
    "decision-curve": decision_curve,
    "missing": missing,
    "hospitals": hospitals,
    "subgroups": subgroups,
    "odds-ratios": odds_ratios,
    "learning-curve": learning,
    "instability": instability,
}
"""Every picture of a report that is not quick, by the name of its file."""


def _forest(rows: Mapping[str, Performance], title: str, height: float) -> Figure:
    """Draw three figures with intervals, a line for each group; groups that are too small say so."""
    figure = Figure(figsize=(8.6, height))
    shown: Sequence[tuple[str, str, Any]] = (
        ("roc_auc", "ROC-AUC", None),
        ("recall", "sensitivity", None),
        ("bias", "mean risk less prevalence", 0),
    )
    panels = figure.subplots(1, len(shown), sharey=True)
    places = np.arange(len(rows))[::-1]
    labels = [f"{name}\n{found.patients} patients, {found.events} events" for name, found in rows.items()]
    for axes, (name, label, zero) in zip(panels, shown, strict=True):
        for place, found in zip(places, rows.values(), strict=True):
            if name not in found.figures:
                axes.text(
                    0.5,
                    place,
                    "not estimable",
                    ha="center",
                    va="center",
                    color=GREY,
                    transform=axes.get_yaxis_transform(),
                )
                continue
            each = found.figures[name]
            axes.errorbar(
                [each.value],
                [place],
                xerr=[[each.value - each.low], [each.high - each.value]],
                fmt="o",
                color=HEALTHY,
                capsize=2,
                ms=4,
            )
        if zero is not None:
            axes.axvline(zero, color="black", lw=0.8)
        axes.set(xlabel=label, ylim=(-0.6, len(rows) - 0.4))
    panels[0].set_yticks(places, labels, fontsize=8)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _range(figure: Any) -> str:
    return f"{figure.value:.2f} ({figure.low:.2f} to {figure.high:.2f})"
