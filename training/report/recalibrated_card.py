"""The card of a recalibrated model: the shift, and a note that the evaluation is the base model's."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.errors import ArtifactError
from scoring.model_artifact import CARD_DATA_FILE, CARD_FILE, REPORT_FILE, Artifact
from training.estimates import Estimate
from training.evaluation.results import EvaluationReport
from training.report.equation import Equation
from training.report.markdown import interval
from training.report.model_card import Card, as_markdown

RECALIBRATION_SCHEMA: Final = "heartstream-recalibration/1"


class Recalibration(msgspec.Struct, frozen=True):
    """One recalibration of a model.

    `base_digest` and `base_version` identify the model directory that was shifted; `data_sha256` the labelled file, or
    the risks and outcomes from the topics. `estimated` is the shift (with its 95% interval) that makes the mean risk
    equal the prevalence, `applied` its 98% limit nearest 0. Means and Brier scores are those of the same patients.
    """

    model: str
    base_version: str
    base_digest: str
    data_sha256: str
    patients: int
    events: int
    estimated: Estimate
    standard_error: float
    applied: float
    mean_risk_before: float
    mean_risk_after: float
    brier_before: float
    brier_after: float


class Recalibrations(msgspec.Struct, frozen=True):
    """All recalibrations of a model since its training, the latest last."""

    schema: str
    done: tuple[Recalibration, ...]

    def as_json(self) -> bytes:
        """Return them as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def recalibrated_cards(artifact: Artifact, version: str, done: tuple[Recalibration, ...]) -> dict[str, bytes]:
    """Return the base model's cards with the recalibrations and shifted equations added, and its report unchanged."""
    raw = artifact.cards.get("application/json")
    if raw is None or artifact.report is None:
        raise ArtifactError(
            "the model directory has no model card or report: train the model again (heartstream train)"
        )
    try:
        base, report = msgspec.json.decode(raw, type=Card), msgspec.json.decode(artifact.report, type=EvaluationReport)
    except msgspec.ValidationError as error:
        raise ArtifactError(
            "the model card or report of the model directory has the format of another version of heartstream: train "
            "the model again (heartstream train)"
        ) from error
    own = base.model == done[-1].model
    card = msgspec.structs.replace(
        base,
        model=done[-1].model,
        model_version=version,
        equations=tuple(_moved(each, done[-1].applied) for each in base.equations) if own else (),
    )
    text = as_markdown(card, report)
    place = text.index("\n## ") + 1
    return {
        REPORT_FILE: artifact.report,
        CARD_DATA_FILE: _as_json(card, done),
        CARD_FILE: (text[:place] + _section(report, done) + text[place:]).encode(),
    }


def _as_json(card: Card, done: tuple[Recalibration, ...]) -> bytes:
    """Return the machine-readable card, with the recalibrations."""
    card_with_recalibrations = {**msgspec.to_builtins(card), "recalibrations": msgspec.to_builtins(done)}
    return msgspec.json.format(msgspec.json.encode(card_with_recalibrations), indent=1) + b"\n"


def _moved(equation: Equation, by: float) -> Equation:
    return msgspec.structs.replace(equation, intercept=equation.intercept + by)


def _section(report: EvaluationReport, done: tuple[Recalibration, ...]) -> str:
    steps = "".join(
        f"- {each.applied:+.4f} was added to all log-odds of {each.model} {each.base_version} (`{each.base_digest}`), "
        f"by the outcomes of {each.patients} patients, {each.events} with disease (SHA-256 of the data: "
        f"`{each.data_sha256}`). The estimated shift was {interval(each.estimated)}; the limit of its 98% "
        f"interval nearest 0 was applied. On the same patients the mean risk went from {each.mean_risk_before:.3f} to "
        f"{each.mean_risk_after:.3f} (prevalence {each.events / each.patients:.3f}), and the Brier score from "
        f"{each.brier_before:.4f} to {each.brier_after:.4f}.\n"
        for each in done
    )
    return (
        f"## Recalibration\n\n**This model was shifted after its evaluation.** All results below, and those in "
        f"`{REPORT_FILE}`, are of the model before the shift; “best model” there means {report.selection.best}. "
        f"Only the equation is that of the shifted model. Its performance on other patients was not measured: use "
        f"`heartstream evaluate`.\n\n{steps}\n"
    )
