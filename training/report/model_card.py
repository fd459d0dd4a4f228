"""The model card: intended use, data, results, known defects and limits. A training run writes it.

Sections follow Mitchell et al. (Model Cards for Model Reporting, 2019); the self-assessment follows TRIPOD+AI (BMJ
2024) and PROBAST+AI (BMJ 2025). All numbers come from the run's report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from schemas.records import Score
from schemas.tables.feature_table import Feature, FeatureTable
from scoring.compiled_table import CompiledTable
from scoring.model_artifact import DataEntry
from training.candidates import MissingValues, is_linear, missing_values_of
from training.evaluation.external_validation import ExternalValidation
from training.evaluation.results import EvaluationReport
from training.report.equation import Equation, equation
from training.report.markdown import images, table
from training.report.sections.known_defects import known_defects
from training.report.sections.population import cautions, out_of_scope, training_text
from training.report.sections.results import full_results, results
from training.report.sections.self_assessment import assessment
from training.report.sections.texts import INTENDED, RECALIBRATION


class Card(msgspec.Struct, frozen=True):
    """The machine-readable card.

    `training` describes the training patients; `report` is the name of the file with all results.
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
    required: tuple[str, ...]
    versions: dict[str, str]
    seed: int
    threshold: float
    selection: str
    equations: tuple[Equation, ...]
    known_defects: tuple[str, ...]
    assessment: dict[str, str]
    cautions: str
    report: str = "report.json"

    def as_json(self) -> bytes:
        """Return the card as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def new_card(
    report: EvaluationReport,
    preprocessor: Any,
    best: Any,
    compiled: CompiledTable,
    model_version: str,
    versions: Mapping[str, str],
) -> Card:
    """Return the card of a run's best model, a fitted classifier."""
    handled = missing_values_of(best)
    feature_table, patterns = compiled.table, compiled.patterns
    gap = patterns.without(feature_table.gaps.get(feature_table.common_gap, ()))
    models = (
        [(0, ())]
        if handled is not MissingValues.SUBMODELS or not gap
        else [(0, ()), (patterns.row(gap), patterns.fields(gap))]
    )
    equations = tuple(equation(preprocessor, best, compiled, *each) for each in models) if is_linear(best) else ()
    return Card(
        schema="heartstream-model-card/2",
        model=report.selection.best,
        model_version=model_version,
        disclaimer=report.data.disclaimer,
        intended_use=INTENDED,
        out_of_scope=out_of_scope(report),
        outcome=_outcome(feature_table),
        data=report.data,
        training=training_text(report, handled),
        predictors={feature.name: _predictor(feature) for feature in feature_table.features},
        required=tuple(feature.name for feature in feature_table.features if feature.required),
        versions=dict(versions),
        seed=report.seed,
        threshold=report.threshold,
        selection=report.selection.reason,
        equations=equations,
        known_defects=known_defects(report, equations),
        assessment=assessment(report, handled),
        cautions=cautions(report),
    )


def _outcome(feature_table: FeatureTable) -> str:
    outcome = feature_table.outcome
    return f"{outcome.column} {' or '.join(map(str, outcome.positive))}: {outcome.text}"


def _predictor(feature: Feature) -> str:
    pairs = zip(map(str, feature.sent), feature.codes, strict=True)
    codes = ", ".join(f"{sent} {meaning}" if meaning != sent else sent for sent, (_, meaning) in pairs)
    unit = feature.unit or ("code" if codes else "")
    return feature.meaning + (f" [{unit}]" if unit else "") + (f": {codes}" if codes else "")


def as_markdown(
    card: Card,
    report: EvaluationReport,
    pictures: str | None = None,
    external: Mapping[str, ExternalValidation] = MappingProxyType({}),
) -> str:
    """Return the card as Markdown; `pictures` is the folder of a full report's figures, relative to the page.

    `external` are validations of the model in further hospitals, by name.
    """
    parts = [
        f"# Model card: {card.model}, version {card.model_version}\n",
        f"> {card.disclaimer}\n",
        (
            "Written by the training run. Intervals are 95% bootstrap intervals over the evaluated patients unless "
            "stated otherwise. They do not include the variation between training samples.\n"
        ),
        *_use(card),
        *_data(card, report),
        *results(report, pictures),
    ]
    if report.full is None:
        parts.append("This was a quick run: hospitals, subgroups, thresholds and stability were not evaluated.\n")
    else:
        parts += full_results(report, report.full, pictures, external)
    parts += [*_equation(card, report, pictures), *_judgement(card)]
    return "\n".join(parts)


def _use(card: Card) -> Iterator[str]:
    yield f"## Intended use\n\n{card.intended_use}\n"
    yield "Out of scope:\n\n" + "".join(f"- {line}\n" for line in card.out_of_scope)
    yield f"## What a score means\n\n{' '.join((Score.__doc__ or '').split())}\n"


def _data(card: Card, report: EvaluationReport) -> Iterator[str]:
    data = card.data
    yield (
        f"## Data\n\n{data.name}: {data.rows} patients, {data.positives} with {report.event} "
        f"({data.positives / data.rows:.0%}). The rows as CSV have the SHA-256 `{data.sha256}`. {card.training}\n"
    )
    yield f"Outcome: {card.outcome}.\n"
    yield "Predictors:\n"
    yield table(
        ["field", "meaning", "may be missing"],
        ([name, meaning, "no" if name in card.required else "yes"] for name, meaning in card.predictors.items()),
    )
    if report.full is not None:
        size = report.full.sample_size
        yield (
            f"Sample size: {size.events_per_parameter} events for each of {size.parameters} parameters. Riley's "
            f"criteria require {size.for_shrinkage} patients for a shrinkage of 0.9, {size.for_optimism} for an "
            f"optimism of 0.05 and {size.for_prevalence} for the prevalence; there are {size.patients}.\n"
        )


def _equation(card: Card, report: EvaluationReport, pictures: str | None) -> Iterator[str]:
    if not card.equations:
        return
    several = " There is one for each set of missing fields; two of them:" if card.equations[1:] else ""
    yield (
        "## The equation\n\nlog-odds = intercept + coefficient * value for each numeric field + the coefficient of "
        f"each code; risk = 1 / (1 + exp(-log-odds)).{several}\n"
    )
    headings = [
        "",
        *("all fields" if not each.without else f"without {', '.join(each.without)}" for each in card.equations),
    ]
    rows = [["intercept", *(f"{each.intercept:.6g}" for each in card.equations)]]
    rows += [
        [f"{name}, per unit", *(_number(each.slopes.get(name)) for each in card.equations)]
        for name in card.equations[0].slopes
    ]
    for name, codes in card.equations[0].codes.items():
        rows += [
            [f"{name} {code}", *(_number(each.codes.get(name, {}).get(code)) for each in card.equations)]
            for code in codes
        ]
    yield table(headings, rows)
    if report.full is not None:
        yield (
            "Odds ratios of the logistic regression (numeric fields per standard deviation; 0/1 fields 1 against "
            "0; other codes against the average patient). The penalty shrinks them towards 1, most for rare "
            "codes, and narrows their intervals: they describe the model and are not causal. Below, the permutation "
            "importance: the increase of the forest's log loss when a field is permuted:\n"
        )
        yield from images(pictures, ("odds-ratios", "Odds ratios of the logistic regression"))
        yield table(
            ["field", "increase of log loss"],
            (
                [name, f"{increase:+.3f}"]
                for name, increase in sorted(report.full.permutation_importance.items(), key=lambda pair: -pair[1])
            ),
        )


def _judgement(card: Card) -> Iterator[str]:
    yield "## Known defects\n\n" + "".join(f"- {line}\n" for line in card.known_defects)
    yield f"## Before local use\n\n{RECALIBRATION}\n"
    yield "## Self-assessment\n\nBy TRIPOD+AI and PROBAST+AI, computed from the training run:\n"
    yield table(["item", "judgement"], ([name, text] for name, text in card.assessment.items()))
    yield f"## Cautions\n\n{card.cautions}\n"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(card.versions.items()))
    yield f"## Versions\n\nModel {card.model_version}, seed {card.seed}, threshold {card.threshold:g}; {versions}.\n"


def _number(number: float | None) -> str:
    return "" if number is None else f"{number:.6g}"
