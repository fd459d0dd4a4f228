"""The model card: what the model is for, how it was made, and how far it can be trusted. Written by a training run.

Sections follow Mitchell et al. (Model Cards for Model Reporting, 2019); the self-assessment follows TRIPOD+AI (BMJ
2024) and PROBAST+AI (BMJ 2025). All figures come from the run's report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from schemas.features import FEATURES, TARGET_DEFINITION, Feature
from schemas.records import Score
from scoring.missingness import missing_fields
from scoring.model_artifact import DataEntry
from training.candidates import is_linear
from training.evaluation.repeated_cv import GAP
from training.evaluation.results import Report
from training.report.equation import Equation, equation
from training.report.markdown import pictures_of, table
from training.report.sections.known_defects import known_defects
from training.report.sections.population import cautions, out_of_scope, training_text
from training.report.sections.results import deep_results, results
from training.report.sections.self_assessment import assessment
from training.report.sections.texts import INTENDED, RECALIBRATION


class Card(msgspec.Struct, frozen=True):
    """The card for programs.

    `training` describes the training patients; `report` names the file beside it that has all results.
    """

    schema: str
    model: str
    model_version: str
    disclaimer: str
    intended_use: str
    out_of_scope: tuple[str, ...]
    outcome: str
    data: DataEntry
    training: str
    predictors: dict[str, str]
    versions: dict[str, str]
    seed: int
    threshold: float
    choice: str
    equations: tuple[Equation, ...]
    known_defects: tuple[str, ...]
    assessment: dict[str, str]
    cautions: str
    report: str = "report.json"

    def as_json(self) -> bytes:
        """Write the card, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def new_card(report: Report, preprocessor: Any, best: Any, model_version: str, versions: Mapping[str, str]) -> Card:
    """Make the card of a run's best model, a fitted classifier."""
    imputes = getattr(best, "imputes", True)
    models = ((0, ()),) if imputes else ((0, ()), (GAP, missing_fields(GAP)))
    equations = tuple(equation(preprocessor, best, *each) for each in models) if is_linear(best) else ()
    return Card(
        schema="heartstream-model-card/1",
        model=report.choice.best,
        model_version=model_version,
        disclaimer=report.data.disclaimer,
        intended_use=INTENDED,
        out_of_scope=out_of_scope(report),
        outcome=TARGET_DEFINITION,
        data=report.data,
        training=training_text(report, imputes=imputes),
        predictors={feature.name: _predictor(feature) for feature in FEATURES},
        versions=dict(versions),
        seed=report.seed,
        threshold=report.threshold,
        choice=report.choice.reason,
        equations=equations,
        known_defects=known_defects(report, equations),
        assessment=assessment(report, imputes=imputes),
        cautions=cautions(report),
    )


def _predictor(feature: Feature) -> str:
    codes = ", ".join(f"{code} {meaning}" for code, meaning in feature.codes)
    return f"{feature.meaning} [{feature.unit or 'code'}]" + (f": {codes}" if codes else "")


def as_markdown(card: Card, report: Report, pictures: str | None = None) -> str:
    """Write the card for people; `pictures` is the folder of a deep report's pictures, relative to the page."""
    parts = [
        f"# Model card: {card.model}, version {card.model_version}\n",
        f"> {card.disclaimer}\n",
        (
            "Written by the training run. Intervals are of 95%; where nothing else is said, over bootstrap samples of "
            "the patients that a figure was measured on. They do not cover what another training would change.\n"
        ),
        *_use(card),
        *_data(card, report),
        *results(report, pictures),
    ]
    if report.deep is None:
        parts.append("This was a quick run: hospitals, subgroups, thresholds and stability were not evaluated.\n")
    else:
        parts += deep_results(report, report.deep, pictures)
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
        f"({data.positives / data.rows:.0%}). Rows as CSV have SHA-256 `{data.sha256}`. {card.training}\n"
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


def _equation(card: Card, report: Report, pictures: str | None) -> Iterator[str]:
    if not card.equations:
        return
    several = " There is one for each of 1,024 sets of missing fields; two of them:" if card.equations[1:] else ""
    yield (
        "## The equation\n\nlog-odds = intercept + coefficient * value for each number + the code's own number; "
        f"risk = 1 / (1 + exp(-log-odds)).{several}\n"
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
            "Odds ratios of the logistic regression (for numbers, a standard deviation more; for sex, fbs and exang, 1 "
            "against 0; for other codes, against the average patient). The penalty draws them towards 1, those of rare "
            "codes most, and narrows their intervals: they describe the model, not causes. Below them, by how much "
            "shuffling a field raises the forest's log loss:\n"
        )
        yield from pictures_of(pictures, ("odds-ratios", "Odds ratios of the logistic regression"))
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
    yield "## Self-assessment\n\nBy TRIPOD+AI and PROBAST+AI, from what the training run knows:\n"
    yield table(["item", "judgement"], ([name, text] for name, text in card.assessment.items()))
    yield f"## Cautions\n\n{card.cautions}\n"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(card.versions.items()))
    yield f"## Versions\n\nModel {card.model_version}, seed {card.seed}, threshold {card.threshold:g}; {versions}.\n"


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"
