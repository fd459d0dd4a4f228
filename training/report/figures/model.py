"""Pictures of how a model does, from a training run's report. Those of `Deep` need a run that was not quick."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from training.evaluation.baseline import USUAL
from training.evaluation.metrics import Performance
from training.evaluation.repeated_cv import COMPLETE
from training.evaluation.results import Deep, Report
from training.report.figures.style import GREY, HEALTHY, ILL, PALETTE, short, with_reach
from training.report.markdown import interval

_SMALL: Final = (6.4, 3.6)
_MISSING: Final = {"recall": "sensitivity", "specificity": "specificity", "bias": "mean risk less prevalence"}
_EQUAL: Final = "median and mode, at the other's specificity"


def calibration(report: Report, deep: Deep) -> Figure:
    """Draw observed shares against risks, with a histogram of risks below."""
    figure = Figure(figsize=(5.2, 5.2))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    risks = [each.risk for each in deep.calibration]
    shares, reach = with_reach(each.share for each in deep.calibration)
    above.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="perfect")
    above.errorbar(
        risks,
        shares,
        reach,
        fmt="o",
        color=HEALTHY,
        capsize=2,
        label="tenths of the patients, 95% interval",
    )
    slope = report.lacking[COMPLETE][report.choice.best].figures["slope"]
    above.set_title(f"Of patients at a risk, how many have disease?\n{_plain(report.choice.best)}, out of fold")
    above.text(0.97, 0.03, f"slope {interval(slope)}", ha="right", transform=above.transAxes)
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
    left.set_title("Ranking (ROC)")
    left.legend(loc="lower right")
    right.set(xlabel="sensitivity", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    right.set_title("Precision and sensitivity")
    return figure


def decision_curve(report: Report, deep: Deep) -> Figure:
    """Draw net benefit against the threshold, beside acting on all and on nobody."""
    figure = Figure(figsize=_SMALL)
    axes = figure.subplots()
    at = [each.threshold for each in deep.thresholds]
    top = 0.05 + max(each.net_benefit for each in deep.thresholds)
    axes.plot(
        at, [each.net_benefit for each in deep.thresholds], "o-", color=HEALTHY, ms=4, label=_plain(report.choice.best)
    )
    axes.plot(
        at, [each.net_benefit_of_treating_all for each in deep.thresholds], color=ILL, ls="--", label="act on all"
    )
    axes.axhline(0, color=GREY, lw=1, label="act on nobody")
    axes.set(xlabel="threshold", ylabel="net benefit", ylim=(-0.1, top), xlim=(0, 0.95))
    axes.set_title("Net benefit of acting on the risk, on all and on nobody")
    axes.legend()
    return figure


def missing(report: Report, _deep: Deep | None = None) -> Figure:
    """Draw sensitivity, specificity and bias as fields go missing, beside the usual pipeline."""
    figure = Figure(figsize=(8.6, 4.4))
    panels = figure.subplots(1, len(_MISSING), sharey=True)
    names = list(report.lacking)
    places = np.arange(len(names))[::-1]
    for model, colour, shift in ((report.choice.best, HEALTHY, 0.2), (USUAL, ILL, 0)):
        for axes, name in zip(panels, _MISSING, strict=True):
            _dots(axes, (report.lacking[each][model] for each in names), name, places + shift, colour, _plain(model))
    equal = [report.usual_at_our_specificity.get(each) for each in names]
    _dots(panels[0], (each.performance if each else None for each in equal), "recall", places - 0.2, PALETTE[4], _EQUAL)
    panels[0].set_yticks(places, ["nothing" if name == COMPLETE else name for name in names])
    for axes, (name, label) in zip(panels, _MISSING.items(), strict=True):
        axes.set(xlabel=label)
        if name != "bias":
            axes.set_xlim(-0.02, 1.02)
    panels[-1].axvline(0, color="black", lw=0.8)
    panels[0].set_title("Fields missing, labels at the threshold")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncol=3, fontsize=8)
    return figure


def _dots(axes: Any, found: Iterable[Performance | None], name: str, places: Any, colour: str, label: str) -> None:
    """Draw a figure of each performance that has it, with its interval."""
    drawn = [(of.figures[name], place) for of, place in zip(found, places, strict=True) if of and name in of.figures]
    if drawn:
        values, reach = with_reach(estimate for estimate, _ in drawn)
        axes.errorbar(
            values, [place for _, place in drawn], xerr=reach, fmt="o", color=colour, capsize=2, ms=4, label=label
        )


def hospitals(report: Report, deep: Deep) -> Figure:
    """Draw how the best model does in hospitals that it was not trained in."""
    rows = {
        "training patients (out of fold)": report.lacking[COMPLETE][report.choice.best],
        **{deep.hospitals[name]: site.models[report.choice.best] for name, site in deep.elsewhere.items()},
    }
    return _forest(rows, f"{_plain(report.choice.best)} in other hospitals", height=2.6)


def subgroups(report: Report, deep: Deep) -> Figure:
    """Draw how the best model does on parts of the training patients."""
    rows = {name: models[report.choice.best] for name, models in deep.subgroups.items()}
    return _forest(rows, "Groups of the training patients, out of fold", height=3.2)


def odds_ratios(_report: Report, deep: Deep) -> Figure:
    """Draw the logistic regression's odds ratios."""
    figure = Figure(figsize=(7, 5.4))
    axes = figure.subplots()
    names = list(map(short, deep.odds_ratios))
    values, reach = with_reach(deep.odds_ratios.values())
    places = np.arange(len(names))[::-1]
    axes.errorbar(values, places, xerr=reach, fmt="o", color=HEALTHY, capsize=2, ms=4)
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
    axes.set(xlabel="patients trained on", ylabel="ROC-AUC (± deviation of a fold)")
    axes.set_title("ROC-AUC by how many patients are trained on")
    axes.legend(loc="lower right")
    return figure


def instability(_report: Report, deep: Deep) -> Figure:
    """Draw how wide each patient's risk is over bootstrap models."""
    figure = Figure(figsize=_SMALL)
    axes = figure.subplots()
    axes.scatter(deep.instability.risks, deep.instability.widths, s=12, color=HEALTHY, alpha=0.6, lw=0)
    axes.set(xlabel="risk", ylabel="width that holds 95% of models", xlim=(0, 1), ylim=(0, None))
    axes.set_title(
        "How far each risk moves when other patients are trained on\n"
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
    """Draw four figures with intervals, a line for each group; groups that are too small say so."""
    figure = Figure(figsize=(9.6, height))
    shown: Sequence[tuple[str, str, Any]] = (
        ("roc_auc", "ROC-AUC", None),
        ("recall", "sensitivity", None),
        ("specificity", "specificity", None),
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
            value, reach = with_reach([found.figures[name]])
            axes.errorbar(value, [place], xerr=reach, fmt="o", color=HEALTHY, capsize=2, ms=4)
        if zero is not None:
            axes.axvline(zero, color="black", lw=0.8)
        axes.set(xlabel=label, ylim=(-0.6, len(rows) - 0.4))
    panels[0].set_yticks(places, labels, fontsize=8)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def _plain(name: str) -> str:
    return name.replace("_", " ")
