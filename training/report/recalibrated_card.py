"""What the card of a recalibrated model says: what was done to what, and that the evaluation is the base model's."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.errors import ArtifactError
from scoring.model_artifact import CARD_DATA_FILE, CARD_FILE, REPORT_FILE, Artifact
from training.estimates import Estimate
from training.evaluation.results import Report
from training.report.equation import Equation
from training.report.markdown import interval
from training.report.model_card import Card, as_markdown

RECALIBRATION_FILE: Final = "recalibration.json"
RECALIBRATION_SCHEMA: Final = "heartstream-recalibration/1"


class Recalibration(msgspec.Struct, frozen=True):
    """What was done to which model by whose outcomes.

    `base_digest` and `base_version` are those of the model directory that was shifted, `data_sha256` is that of the
    labelled file, or of the risks and outcomes from the topics. `estimated` would make the mean risk the prevalence
    (with its 95% interval), `applied` is the part of it that is certain. Means and Brier scores are those of the same
    patients.
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
    """All that was done to a model since it was trained, the last at the end."""

    schema: str
    done: tuple[Recalibration, ...]

    def as_json(self) -> bytes:
        """Write them, indented."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def recalibrated_cards(artifact: Artifact, version: str, done: tuple[Recalibration, ...]) -> dict[str, bytes]:
    """Write the base model's card anew, with what was done to it and the shifted equations; keep the report."""
    raw = artifact.cards.get("application/json")
    if raw is None or artifact.report is None:
        raise ArtifactError(
            "the model directory has no model card or report: train the model again (heartstream train)"
        )
    base, report = msgspec.json.decode(raw, type=Card), msgspec.json.decode(artifact.report, type=Report)
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
    """Write the card for programs, with what was done."""
    told = {**msgspec.to_builtins(card), "recalibrations": msgspec.to_builtins(done)}
    return msgspec.json.format(msgspec.json.encode(told), indent=1) + b"\n"


def _moved(equation: Equation, by: float) -> Equation:
    return msgspec.structs.replace(equation, intercept=equation.intercept + by)


def _section(report: Report, done: tuple[Recalibration, ...]) -> str:
    steps = "".join(
        f"- {each.applied:+.4f} was added to all log-odds of {each.model} {each.base_version} (`{each.base_digest}`), "
        f"by the outcomes of {each.patients} patients, {each.events} with disease (SHA-256 of the data: "
        f"`{each.data_sha256}`). The estimated shift was {interval(each.estimated)}; what was added is the part of it "
        f"that is certain. On these patients themselves the mean risk went from {each.mean_risk_before:.3f} to "
        f"{each.mean_risk_after:.3f}, where {each.events / each.patients:.3f} have disease, and the Brier score from "
        f"{each.brier_before:.4f} to {each.brier_after:.4f}.\n"
        for each in done
    )
    return (
        f"## Recalibration\n\n**This model was shifted after its evaluation.** All results below, and those in "
        f"`{REPORT_FILE}`, are of the model as it was trained; “best model” there means {report.choice.best}. Only the "
        f"equation is that of the shifted model. How the shifted model does on other patients was not measured: "
        f"`heartstream evaluate` tells.\n\n{steps}\n"
    )
