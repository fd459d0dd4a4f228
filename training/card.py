"""The model card: what the model is for, how it was made, and how far it can be trusted. Written by a training run.

Sections follow Mitchell et al. (Model Cards for Model Reporting, 2019); the self-assessment follows TRIPOD+AI (BMJ
2024) and PROBAST+AI (BMJ 2025). All figures come from the run's report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from schemas.features import FEATURES, TARGET_DEFINITION
from schemas.records import Score
from scoring.artifact import DataEntry
from scoring.patterns import missing_fields
from training.card_text import (
    ASSESSMENT,
    CAUTIONS,
    DISCLAIMER,
    INTENDED,
    KNOWN_DEFECTS,
    OUT_OF_SCOPE,
    RECALIBRATION,
    TRAINING,
)
from training.equation import Equation, equation
from training.explore import SITE_NAMES
from training.markdown import interval, picture, ranged, table
from training.report import Deep, Report
from training.uncertainty import is_linear
from training.usual import USUAL
from training.validation import COMPLETE

CARD_FILE: Final = "model-card.md"
CARD_DATA_FILE: Final = "model-card.json"
_GAP: Final = 896
"""The pattern of other hospitals: slope, ca and thal missing."""


class Card(msgspec.Struct, frozen=True):
    """The card for programs. `report` names the file beside it that has all results."""

    schema: str
    model: str
    model_version: str
    disclaimer: str
    intended_use: str
    out_of_scope: tuple[str, ...]
    outcome: str
    data: DataEntry
    predictors: dict[str, str]
    versions: dict[str, str]
    seed: int
    threshold: float
    choice: str
    equations: tuple[Equation, ...]
    known_defects: tuple[str, ...]
    assessment: dict[str, str]
    report: str = "report.json"

    def as_json(self) -> bytes:
        """Write the card, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def new_card(report: Report, preprocessor: Any, best: Any, model_version: str, versions: Mapping[str, str]) -> Card:
    """Make the card of a run's best model, a fitted classifier."""
    models = ((0, ()), (_GAP, missing_fields(_GAP))) if not getattr(best, "imputes", True) else ((0, ()),)
    return Card(
        schema="heartstream-model-card/1",
        model=report.choice.best,
        model_version=model_version,
        disclaimer=DISCLAIMER,
        intended_use=INTENDED,
        out_of_scope=OUT_OF_SCOPE,
        outcome=TARGET_DEFINITION,
        data=report.data,
        predictors={feature.name: f"{feature.meaning} [{feature.unit or 'code'}]" for feature in FEATURES},
        versions=dict(versions),
        seed=report.seed,
        threshold=report.threshold,
        choice=report.choice.reason,
        equations=tuple(equation(preprocessor, best, *each) for each in models) if is_linear(best) else (),
        known_defects=KNOWN_DEFECTS,
        assessment=ASSESSMENT,
    )


def as_markdown(card: Card, report: Report, pictures: str | None = None) -> str:
    """Write the card for people; `pictures` is the folder of a deep report's pictures, relative to the page."""
    parts = [
        f"# Model card: {card.model}, version {card.model_version}\n",
        f"> {card.disclaimer}\n",
        "Written by the training run; figures with an interval have 95% bootstrap intervals over patients.\n",
        *_use(card),
        *_data(card, report),
        *_results(report, pictures),
    ]
    if report.deep is None:
        parts.append("This was a quick run: hospitals, subgroups, thresholds and stability were not evaluated.\n")
    else:
        parts += [*_elsewhere(report, report.deep, pictures), *_uncertain(report.deep, pictures)]
    parts += [*_equation(card, report, pictures), *_judgement(card)]
    return "\n".join(parts)


def _use(card: Card) -> Iterator[str]:
    yield f"## Intended use\n\n{card.intended_use}\n"
    yield "Out of scope:\n\n" + "".join(f"- {line}\n" for line in card.out_of_scope)
    yield f"## What a score says\n\n{' '.join((Score.__doc__ or '').split())}\n"


def _data(card: Card, report: Report) -> Iterator[str]:
    data = card.data
    yield (
        f"## Data\n\n{data.name}: {data.rows} patients, {data.positives} with disease "
        f"({data.positives / data.rows:.0%}). Rows as CSV have SHA-256 `{data.sha256}`. {TRAINING}\n"
    )
    yield f"Outcome: {card.outcome}.\n"
    yield "Predictors:\n"
    yield table(
        ["field", "meaning", "may be missing"],
        ([feature.name, card.predictors[feature.name], "no" if feature.required else "yes"] for feature in FEATURES),
    )
    if report.deep is not None:
        size = report.deep.sample_size
        yield (
            f"Sample size: {size.events_per_parameter} events for each of {size.parameters} parameters. Riley's "
            f"criteria ask for {size.for_shrinkage} patients for a shrinkage of 0.9, {size.for_optimism} for an "
            f"optimism of 0.05 and {size.for_prevalence} for the prevalence; there are {size.patients}.\n"
        )


def _results(report: Report, pictures: str | None) -> Iterator[str]:
    names = list(report.five_fold)
    metrics = {
        "accuracy": "Accuracy",
        "precision": "Precision",
        "recall": "Recall (sensitivity)",
        "f1": "F1",
        "roc_auc": "ROC-AUC",
        "brier": "Brier",
        "log_loss": "Log loss",
    }
    yield f"## Results\n\nBest model: **{report.choice.best}**: {report.choice.reason}.\n"
    yield f"One 5-fold cross-validation (seed {report.seed}), mean ± standard deviation over the folds:\n"
    yield table(
        ["", *names],
        (
            [title, *(f"{report.five_fold[n][m].mean:.3f} ± {report.five_fold[n][m].std:.3f}" for n in names)]
            for m, title in metrics.items()
        ),
    )
    more = {
        **metrics,
        "specificity": "Specificity",
        "slope": "Calibration slope",
        "intercept": "Calibration intercept",
    }
    yield f"{report.repeats} repeats of 5-fold cross-validation, with intervals:\n"
    yield table(
        ["", *names], ([title, *(ranged(report.lacking[COMPLETE][n], m) for n in names)] for m, title in more.items())
    )
    yield from _pictures(
        pictures, ("calibration", "Share with disease against risk"), ("roc", "ROC and precision-recall curves")
    )
    best = report.choice.best
    yield (
        f"### Where fields are missing\n\n{best} beside the usual pipeline, which puts median or mode in place of what "
        "is missing; out of fold:\n"
    )
    yield table(
        ["missing", "ROC-AUC", "sensitivity", "bias of risk", "usual: sensitivity", "usual: bias of risk"],
        (
            [
                name,
                ranged(of[best], "roc_auc"),
                ranged(of[best], "recall"),
                ranged(of[best], "bias"),
                ranged(of[USUAL], "recall"),
                ranged(of[USUAL], "bias"),
            ]
            for name, of in report.lacking.items()
        ),
    )
    yield from _pictures(pictures, ("missing", "Sensitivity and bias where fields are missing"))


def _elsewhere(report: Report, deep: Deep, pictures: str | None) -> Iterator[str]:
    best = report.choice.best
    yield (
        "## Other hospitals\n\nTrained in Cleveland. Few of Zurich and Basel's patients are without disease: what "
        "depends on them is chance.\n"
    )
    figures = ("roc_auc", "accuracy", "recall", "specificity", "brier", "intercept", "slope")
    headings = [
        "",
        "patients",
        "events",
        "ROC-AUC",
        "accuracy",
        "sensitivity",
        "specificity",
        "Brier",
        "intercept",
        "slope",
        "Brier of prevalence",
    ]
    for model in (best, USUAL):
        yield f"{model}:\n"
        yield table(
            headings,
            (
                [
                    SITE_NAMES[name],
                    str(site.patients),
                    str(site.events),
                    *(ranged(site.models[model], figure) for figure in figures),
                    f"{site.prevalence_brier:.2f}",
                ]
                for name, site in deep.elsewhere.items()
            ),
        )
    yield from _pictures(pictures, ("hospitals", "ROC-AUC, sensitivity and bias by hospital"))
    yield f"{best}, trained on three hospitals and asked about the fourth:\n"
    yield table(
        ["left out", "patients", "events", "ROC-AUC", "accuracy", "sensitivity", "Brier"],
        (
            [
                SITE_NAMES[name],
                str(of[best].patients),
                str(of[best].events),
                *(ranged(of[best], f) for f in ("roc_auc", "accuracy", "recall", "brier")),
            ]
            for name, of in deep.left_out.items()
        ),
    )
    yield "## Groups of patients\n\nOut of fold. The data say nothing of race or ethnicity.\n"
    yield table(
        ["", "patients", "events", "ROC-AUC", "sensitivity", "specificity", "bias of risk"],
        (
            [
                name,
                str(of[best].patients),
                str(of[best].events),
                *(ranged(of[best], f) for f in ("roc_auc", "recall", "specificity", "bias")),
            ]
            for name, of in deep.subgroups.items()
        ),
    )
    yield from _pictures(pictures, ("subgroups", "ROC-AUC, sensitivity and bias by group"))
    yield "## Thresholds\n\nNet benefit weighs a false alarm by the odds of the threshold.\n"
    yield table(
        ["threshold", "sensitivity", "specificity", "PPV", "NPV", "net benefit", "of treating all"],
        (
            [
                f"{t.threshold:.2f}",
                f"{t.sensitivity:.2f}",
                f"{t.specificity:.2f}",
                _share(t.positive_predictive_value),
                _share(t.negative_predictive_value),
                f"{t.net_benefit:+.3f}",
                f"{t.net_benefit_of_treating_all:+.3f}",
            ]
            for t in deep.thresholds
        ),
    )
    yield from _pictures(pictures, ("decision-curve", "Net benefit against the threshold"))


def _uncertain(deep: Deep, pictures: str | None) -> Iterator[str]:
    moves, covers = deep.instability, deep.coverage
    yield "## How certain a risk is\n"
    yield (
        f"Over {moves.models} models from bootstrap samples, 95% of a patient's risks span {moves.median_width:.2f} "
        f"(median; {moves.median_width_unsure:.2f} for risks of 0.3 to 0.7), and {moves.changing:.0%} of patients "
        "change their label in more than 5% of the models: a score carries an interval.\n"
    )
    yield from _pictures(pictures, ("instability", "Width of each patient's risks over bootstrap models"))
    yield (
        f"Label sets of 90%, limits set inside each fold; {covers.single:.0%} of the sets have a single label. "
        "Elsewhere the promise does not hold:\n"
    )
    rows = {
        "Cleveland": covers,
        **{SITE_NAMES[name]: site.coverage for name, site in deep.elsewhere.items() if site.coverage},
    }
    yield table(
        ["", "patients", "true label in the set: without disease", "with disease", "single label"],
        (
            [
                name,
                str(c.patients),
                *(interval(s) if s else "not estimable" for s in (c.without_disease, c.with_disease)),
                f"{c.single:.0%}",
            ]
            for name, c in rows.items()
        ),
    )
    yield "### More patients, other parameters\n"
    yield from _pictures(pictures, ("learning-curve", "ROC-AUC against patients trained on"))
    yield "Nested tuning (log loss, inner 5-fold) and what it is worth on patients it did not see:\n"
    yield table(
        ["", "parameter", "by fold", "on all rows", "ROC-AUC", "log loss", "calibration slope"],
        (
            [
                name,
                t.parameter,
                ", ".join(f"{v:g}" for v in t.by_fold),
                f"{t.on_all_rows:g}",
                *(ranged(deep.tuned_performance[name], f) for f in ("roc_auc", "log_loss", "slope")),
            ]
            for name, t in deep.tuned.items()
        ),
    )
    yield f"Labels dealt out at random are predicted with ROC-AUC {deep.shuffled_roc_auc:.2f} (0.5 without a leak).\n"


def _equation(card: Card, report: Report, pictures: str | None) -> Iterator[str]:
    if not card.equations:
        return
    yield (
        "## The equation\n\nlog-odds = intercept + coefficient * value for each number + the code's own number; "
        "risk = 1 / (1 + exp(-log-odds)). There is one for each of 1,024 sets of missing fields; two of them:\n"
    )
    headings = [
        "",
        *("all fields" if not each.without else f"without {', '.join(each.without)}" for each in card.equations),
    ]
    rows = [["intercept", *(f"{each.intercept:.6g}" for each in card.equations)]]
    rows += [
        [f"{name}, a unit", *(_number(each.slopes.get(name)) for each in card.equations)]
        for name in card.equations[0].slopes
    ]
    for name, codes in card.equations[0].codes.items():
        rows += [
            [f"{name} {code}", *(_number(each.codes.get(name, {}).get(code)) for each in card.equations)]
            for code in codes
        ]
    yield table(headings, rows)
    if report.deep is not None:
        yield (
            "Odds ratios of the logistic regression (for numbers, a standard deviation more; for codes, against the "
            "average patient), and by how much shuffling a field raises the forest's log loss:\n"
        )
        yield from _pictures(pictures, ("odds-ratios", "Odds ratios of the logistic regression"))
        yield table(
            ["field", "rise of log loss"],
            (
                [name, f"{rise:+.3f}"]
                for name, rise in sorted(report.deep.importance.items(), key=lambda pair: -pair[1])
            ),
        )


def _judgement(card: Card) -> Iterator[str]:
    yield "## Known defects\n\n" + "".join(f"- {line}\n" for line in card.known_defects)
    yield f"## Before local use\n\n{RECALIBRATION}\n"
    yield "## Self-assessment\n\nTRIPOD+AI and PROBAST+AI, by the authors:\n"
    yield table(["", ""], ([name, text] for name, text in card.assessment.items()))
    yield f"## Cautions\n\n{CAUTIONS}\n"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(card.versions.items()))
    yield f"## Versions\n\nModel {card.model_version}, seed {card.seed}, threshold {card.threshold:g}; {versions}.\n"


def _pictures(folder: str | None, *shown: tuple[str, str]) -> Iterator[str]:
    if folder is not None:
        yield from (picture(f"{folder}/{name}.svg", says) for name, says in shown)


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.2f}"


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"
