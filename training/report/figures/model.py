"""Figures of model performance, from a training run's report; most need a `FullEvaluation`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import fill
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from training.evaluation.baseline import BASELINE
from training.evaluation.metrics import Performance
from training.evaluation.repeated_cv import COMPLETE
from training.evaluation.results import EvaluationReport, FullEvaluation
from training.report.figures.style import GREY, HEALTHY, ILL, PALETTE, short, with_error_bars
from training.report.markdown import interval

_SMALL: Final = (6.4, 3.6)
_TITLE: Final = 64
"""The most characters of a line of a title."""
_MISSING: Final = {"recall": "sensitivity", "specificity": "specificity", "bias": "mean risk minus prevalence"}
_EQUAL: Final = "median and mode, at equal specificity"


def calibration(report: EvaluationReport, full: FullEvaluation) -> Figure:
    """Draw the calibration plot, with a histogram of risks below."""
    figure = Figure(figsize=(5.2, 5.2))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    risks = [each.risk for each in full.curves.calibration]
    shares, reach = with_error_bars(each.share for each in full.curves.calibration)
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
    slope = report.missing_fields[COMPLETE][report.selection.best].figures["slope"]
    above.set_title(
        f"Calibration: observed share with {report.event} by risk\n{_words(report.selection.best)}, out of fold"
    )
    above.text(0.97, 0.03, f"slope {interval(slope)}", ha="right", transform=above.transAxes)
    above.set(ylabel=f"share with {report.event}", xlim=(0, 1), ylim=(-0.03, 1.03))
    above.legend(loc="upper left")
    edges = np.linspace(0, 1, len(full.curves.histogram[0]) + 1)
    for counts, colour, label, sign in zip(
        full.curves.histogram, (HEALTHY, ILL), ("without", f"with {report.event}"), (-1, 1), strict=True
    ):
        below.bar(edges[:-1], sign * np.array(counts), width=np.diff(edges), align="edge", color=colour, label=label)
    below.axhline(0, color="black", lw=0.6)
    below.set(xlabel="risk", ylabel="patients")
    below.yaxis.set_major_formatter(lambda value, _: f"{abs(value):.0f}")
    below.legend(loc="upper center", ncol=2, fontsize=8)
    return figure


def roc(_report: EvaluationReport, full: FullEvaluation) -> Figure:
    """Draw ROC and precision-recall curves."""
    figure = Figure(figsize=(8, 3.8))
    left, right = figure.subplots(1, 2)
    for colour, dashes, (name, curve) in zip(PALETTE, ("-", "--", "-"), full.curves.roc.items(), strict=False):
        precise = full.curves.precision_recall[name]
        left.plot(curve.x, curve.y, color=colour, ls=dashes, label=_words(name), lw=1.6)
        right.plot(precise.x, precise.y, color=colour, ls=dashes, lw=1.6)
    left.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--")
    left.set(xlabel="false positive rate", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01))
    left.set_title("ROC")
    left.legend(loc="lower right")
    right.set(xlabel="sensitivity", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    right.set_title("Precision-recall")
    return figure


def decision_curve(report: EvaluationReport, full: FullEvaluation) -> Figure:
    """Draw the decision curve: net benefit by threshold, against treating all and none."""
    figure = Figure(figsize=_SMALL)
    axes = figure.subplots()
    at = [each.threshold for each in full.curves.thresholds]
    top = 0.05 + max(each.net_benefit for each in full.curves.thresholds)
    axes.plot(
        at,
        [each.net_benefit for each in full.curves.thresholds],
        "o-",
        color=HEALTHY,
        ms=4,
        label=_words(report.selection.best),
    )
    axes.plot(
        at,
        [each.net_benefit_of_treating_all for each in full.curves.thresholds],
        color=ILL,
        ls="--",
        label="treat all",
    )
    axes.axhline(0, color=GREY, lw=1, label="treat none")
    axes.set(xlabel="threshold", ylabel="net benefit", ylim=(-0.1, top), xlim=(0, 0.95))
    axes.set_title("Decision curve")
    axes.legend()
    return figure


def missing(report: EvaluationReport, _deep: FullEvaluation | None = None) -> Figure:
    """Draw sensitivity, specificity and bias with missing fields, beside the baseline."""
    figure = Figure(figsize=(8.6, 4.4))
    panels = figure.subplots(1, len(_MISSING), sharey=True)
    names = list(report.missing_fields)
    places = np.arange(len(names))[::-1]
    for model, colour, shift in ((report.selection.best, HEALTHY, 0.2), (BASELINE, ILL, 0)):
        for axes, name in zip(panels, _MISSING, strict=True):
            _dots(
                axes,
                (report.missing_fields[each][model] for each in names),
                name,
                places + shift,
                colour,
                _words(model),
            )
    equal = [report.baseline_at_equal_specificity.get(each) for each in names]
    _dots(panels[0], (each.performance if each else None for each in equal), "recall", places - 0.2, PALETTE[4], _EQUAL)
    panels[0].set_yticks(places, ["nothing" if name == COMPLETE else name for name in names])
    for axes, (name, label) in zip(panels, _MISSING.items(), strict=True):
        axes.set(xlabel=label)
        if name != "bias":
            axes.set_xlim(-0.02, 1.02)
    panels[-1].axvline(0, color="black", lw=0.8)
    panels[0].set_title("Missing fields, labels at the threshold")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncol=3, fontsize=8)
    return figure


def _dots(axes: Any, found: Iterable[Performance | None], name: str, places: Any, colour: str, label: str) -> None:
    """Draw one metric with its interval for each performance that has it."""
    drawn = [(of.figures[name], place) for of, place in zip(found, places, strict=True) if of and name in of.figures]
    if drawn:
        values, reach = with_error_bars(estimate for estimate, _ in drawn)
        axes.errorbar(
            values, [place for _, place in drawn], xerr=reach, fmt="o", color=colour, capsize=2, ms=4, label=label
        )


def hospitals(report: EvaluationReport, full: FullEvaluation) -> Figure:
    """Draw the best model's performance in other hospitals."""
    rows = {
        "training patients (out of fold)": report.missing_fields[COMPLETE][report.selection.best],
        **{full.hospitals[name]: site.models[report.selection.best] for name, site in full.other_hospitals.items()},
    }
    return _forest(rows, f"{_words(report.selection.best)} in other hospitals", height=2.6)


def subgroups(report: EvaluationReport, full: FullEvaluation) -> Figure:
    """Draw the best model's performance in subgroups of the training patients."""
    rows = {name: models[report.selection.best] for name, models in full.subgroups.items()}
    return _forest(rows, "Subgroups of the training patients, out of fold", height=3.2)


def odds_ratios(report: EvaluationReport, full: FullEvaluation) -> Figure:
    """Draw the logistic regression's odds ratios."""
    figure = Figure(figsize=(7, 5.4))
    axes = figure.subplots()
    names = list(map(short, full.odds_ratios))
    values, reach = with_error_bars(full.odds_ratios.values())
    places = np.arange(len(names))[::-1]
    axes.errorbar(values, places, xerr=reach, fmt="o", color=HEALTHY, capsize=2, ms=4)
    axes.axvline(1, color="black", lw=0.8)
    axes.set_xscale("log")
    axes.set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "1", "2", "4"])
    axes.minorticks_off()
    axes.set_yticks(places, names, fontsize=7.5)
    axes.set(xlabel="odds ratio, 95% bootstrap interval")
    axes.set_title(fill(_compared(report, full), _TITLE), loc="right")
    return figure


def _compared(report: EvaluationReport, full: FullEvaluation) -> str:
    """Say what the odds ratios compare."""
    pairs: dict[str, list[str]] = {}
    for name in full.odds_ratios:
        codes = [*report.population.codes.get(name, ())]
        if len(codes) == 2:  # noqa: PLR2004
            pairs.setdefault(f"{codes[1]} against {codes[0]}", []).append(name)
    two = "".join(f", for {pair} ({', '.join(names)})" for pair, names in pairs.items())
    return f"Odds ratios per standard deviation{two}, or for a code against the average patient"


def learning(_report: EvaluationReport, full: FullEvaluation) -> Figure:
    """Draw the learning curve: ROC-AUC by number of training patients."""
    figure = Figure(figsize=_SMALL)
    axes = figure.subplots()
    for colour, (name, points) in zip(PALETTE, full.learning_curve.items(), strict=False):
        sizes, means = [p.patients for p in points], np.array([p.roc_auc for p in points])
        spread = np.array([p.deviation for p in points])
        axes.plot(sizes, means, "o-", color=colour, ms=4, label=_words(name))
        axes.fill_between(sizes, means - spread, means + spread, color=colour, alpha=0.12, lw=0)
    axes.set(xlabel="training patients", ylabel="ROC-AUC (± standard deviation of a fold)")
    axes.set_title("Learning curve")
    axes.legend(loc="lower right")
    return figure


def instability(_report: EvaluationReport, full: FullEvaluation) -> Figure:
    """Draw the instability of each patient's risk over bootstrap models."""
    figure = Figure(figsize=_SMALL)
    axes = figure.subplots()
    axes.scatter(full.instability.risks, full.instability.widths, s=12, color=HEALTHY, alpha=0.6, lw=0)
    axes.set(xlabel="risk", ylabel="width of the central 95%", xlim=(0, 1), ylim=(0, None))
    axes.set_title(
        f"Instability of each patient's risk\n{full.instability.models} bootstrap models; each point is a patient"
    )
    return figure


MODEL_FIGURES: Final[Mapping[str, Callable[[EvaluationReport, FullEvaluation], Figure]]] = {
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
"""All figures of a full report, by file name."""


def _forest(rows: Mapping[str, Performance], title: str, height: float) -> Figure:
    """Draw a forest plot of four metrics with intervals, a line for each group; some are not estimable."""
    figure = Figure(figsize=(9.6, height))
    shown: Sequence[tuple[str, str, Any]] = (
        ("roc_auc", "ROC-AUC", None),
        ("recall", "sensitivity", None),
        ("specificity", "specificity", None),
        ("bias", "mean risk minus prevalence", 0),
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
            value, reach = with_error_bars([found.figures[name]])
            axes.errorbar(value, [place], xerr=reach, fmt="o", color=HEALTHY, capsize=2, ms=4)
        if zero is not None:
            axes.axvline(zero, color="black", lw=0.8)
        axes.set(xlabel=label, ylim=(-0.6, len(rows) - 0.4))
    panels[0].set_yticks(places, labels, fontsize=8)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure


def _words(name: str) -> str:
    return name.replace("_", " ")
