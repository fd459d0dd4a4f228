"""The card of an adapted model: what it was, what was changed on whose evidence, what each rung would have given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from schemas.errors import ArtifactError
from scoring.model_artifact import ADAPTATION_FILE, CARD_DATA_FILE, CARD_FILE, REPORT_FILE, Artifact
from training.estimates import Estimate
from training.evaluation.adaptation import Ladder, LocalPatients, Rung, RungResult, improves_on_all
from training.evaluation.metrics import Performance
from training.evaluation.recalibration import Advice, Line
from training.evaluation.results import EvaluationReport
from training.report.equation import Equation
from training.report.markdown import interval, table
from training.report.model_card import Card, as_markdown
from training.sample_size import SampleSize

ADAPTATION_SCHEMA: Final = "heartstream-adaptation/1"
LADDER_HEADINGS: Final = ("rung", "ROC-AUC", "Brier", "log loss", "least gain of log loss, over")


class Adaptation(msgspec.Struct, frozen=True):
    """One adaptation of a model.

    `rung` is what was done: intercept, slope or refit. `base_digest` and `base_version` identify the model directory
    that was adapted, `table` and `table_sha256` its feature table; `data_sha256` the labelled file, or the risks and
    outcomes from the topics (`evidence`). `validation` are the figures of the model as it was on these patients.
    `before` and `after` are the cross-validated figures of the model as it was and of the rung; `rungs` has those of
    every rung that was tried. `line` is what was done to the log-odds, None for a refit; `shift` is the estimated shift
    of the log-odds, of which the intercept's rung applies a limit. `refit_size` has the patients that a refit needs by
    Riley's criteria.
    """

    rung: str
    model: str
    table: str
    table_sha256: str
    base_version: str
    base_digest: str
    evidence: str
    data_sha256: str
    patients: int
    events: int
    mean_risk_before: float
    validation: Performance
    before: RungResult
    after: RungResult
    prevalence: RungResult
    rungs: tuple[RungResult, ...]
    not_tried: dict[str, str]
    findings: tuple[str, ...]
    line: Line | None
    shift: Estimate | None
    refit_size: SampleSize | None


class Adaptations(msgspec.Struct, frozen=True):
    """All adaptations of a model since its training, the latest last."""

    schema: str
    done: tuple[Adaptation, ...]

    def as_json(self) -> bytes:
        """Return them as indented JSON."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n"


def adapted_documents(card: Card, report: EvaluationReport, done: tuple[Adaptation, ...]) -> dict[str, bytes]:
    """Return the card with a section on the adaptations, as JSON and as Markdown, and the adaptations' own file."""
    text = as_markdown(card, report)
    place = text.index("\n## ") + 1
    as_data = {**msgspec.to_builtins(card), "adaptations": msgspec.to_builtins(done)}
    return {
        CARD_DATA_FILE: msgspec.json.format(msgspec.json.encode(as_data), indent=1) + b"\n",
        CARD_FILE: (text[:place] + "\n".join(_section(report, done)) + "\n" + text[place:]).encode(),
        ADAPTATION_FILE: Adaptations(ADAPTATION_SCHEMA, done).as_json(),
    }


def recalibrated_documents(
    artifact: Artifact, version: str, line: Line, done: tuple[Adaptation, ...]
) -> dict[str, bytes]:
    """Return the base model's card with recalibrated equations and the adaptations, and its report unchanged."""
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
        equations=tuple(_recalibrated(each, line) for each in base.equations) if own else (),
    )
    return {REPORT_FILE: artifact.report, **adapted_documents(card, report, done)}


def _recalibrated(equation: Equation, line: Line) -> Equation:
    return msgspec.structs.replace(
        equation,
        intercept=line.intercept + line.slope * equation.intercept,
        slopes={name: line.slope * each for name, each in equation.slopes.items()},
        codes={
            name: {code: line.slope * each for code, each in codes.items()} for name, codes in equation.codes.items()
        },
    )


def _section(report: EvaluationReport, done: tuple[Adaptation, ...]) -> Iterator[str]:
    yield "## Adaptation\n"
    if done[-1].rung == Rung.REFIT:
        yield (
            "**This model was fitted on the patients of the latest adaptation alone.** The results below are its own, "
            "out of fold.\n"
        )
    else:
        yield (
            f"**This model was recalibrated after its evaluation.** All results below, and those in `{REPORT_FILE}`, "
            f"are of the model before; “best model” there means {report.selection.best}. Only the equation is that of "
            "the recalibrated model.\n"
        )
    yield "How it does for other patients was not measured: use `heartstream evaluate`.\n"
    for each in done:
        yield from _adaptation(each, report.event)


def _adaptation(each: Adaptation, event: str) -> Iterator[str]:
    yield (
        f"{_change(each)} Base: {each.model} {each.base_version} (`{each.base_digest}`). Evidence: {each.patients} "
        f"{each.evidence}, {each.events} with {event} (SHA-256 `{each.data_sha256}`). Mean risk before: "
        f"{each.mean_risk_before:.3f}; prevalence: {each.events / each.patients:.3f}.\n"
    )
    yield "".join(f"- {finding}\n" for finding in each.findings)
    yield "Cross-validated, for these patients:\n"
    yield table(LADDER_HEADINGS, ladder_rows(each.prevalence, each.rungs))
    yield "".join(f"- {rung} was not tried: {reason}.\n" for rung, reason in each.not_tried.items())


def ladder_rows(prevalence: RungResult, rungs: tuple[RungResult, ...]) -> Iterator[list[str]]:
    """Yield a row for each rung, after predicting the prevalence, with its most doubtful gain over a lower rung."""
    yield ["prevalence", "-", f"{prevalence.brier:.3f}", f"{prevalence.log_loss:.3f}", ""]
    for each in rungs:
        doubtful = min(each.gains.items(), key=lambda pair: pair[1].low, default=None)
        gained = "" if doubtful is None else f"{interval(doubtful[1], 3)}, {doubtful[0]}"
        yield [each.rung, f"{each.roc_auc:.3f}", f"{each.brier:.3f}", f"{each.log_loss:.3f}", gained]


def _change(each: Adaptation) -> str:
    if each.line is None:
        return "The model was refitted."
    if each.rung == Rung.INTERCEPT:
        estimated = f" The estimated shift was {interval(each.shift)}." if each.shift else ""
        return (
            f"{each.line.intercept:+.4f} was added to all log-odds: the limit nearest 0 of the shift's 98% interval."
            f"{estimated}"
        )
    return f"All log-odds became {each.line.intercept:+.4f} {each.line.slope:+.4f} * log-odds."


def findings(ladder: Ladder, patients: LocalPatients, event: str) -> tuple[str, ...]:
    """Return in plain words whether ranking and calibration hold for the local patients, and what a model adds."""
    keep, share = ladder.of(Rung.KEEP), float(patients.labels.mean())
    better = "worse" if keep.brier > ladder.prevalence.brier else "better"
    return (
        _ranking(ladder),
        _calibration(ladder, float(patients.risks.mean()), share, event),
        (
            f"As it is, the model is {better} than the prevalence alone: Brier {keep.brier:.3f}, and "
            f"{ladder.prevalence.brier:.3f} when predicting {share:.0%} for everybody."
        ),
        *_size(ladder),
    )


def _size(ladder: Ladder) -> Iterator[str]:
    size = ladder.refit_size
    if size is not None and ladder.decision is Rung.REFIT:
        required = max(size.for_shrinkage, size.for_optimism, size.for_prevalence)
        yield f"The refit is fitted on {size.patients} patients; Riley's criteria require {required} for one as good."


def _ranking(ladder: Ladder) -> str:
    area = f"ROC-AUC {ladder.of(Rung.KEEP).roc_auc:.2f}"
    if reason := ladder.not_tried.get(Rung.REFIT):
        return f"Ranking: {area}; whether a refit would rank better is not known, as {reason}."
    refit = ladder.of(Rung.REFIT)
    if improves_on_all(refit):
        return (
            f"Ranking fails ({area}): a refit on the same fields orders these patients better (ROC-AUC "
            f"{refit.roc_auc:.2f}), which no recalibration can."
        )
    return (
        f"Ranking holds ({area}): a refit on the same fields is not better beyond chance (ROC-AUC {refit.roc_auc:.2f})."
    )


def _calibration(ladder: Ladder, mean_risk: float, share: float, event: str) -> str:
    measured = f"mean risk {mean_risk:.2f}, {share:.2f} with {event}, slope {ladder.slope:.2f}"
    faults = []
    if ladder.shift.advice in {Advice.RECALIBRATE, Advice.LOOK_CLOSER}:
        faults.append(f"too {'low' if mean_risk < share else 'high'} on average")
    if Rung.SLOPE not in ladder.not_tried and improves_on_all(ladder.of(Rung.SLOPE)):
        faults.append(f"too {'extreme' if ladder.slope < 1 else 'moderate'}")
    if faults:
        return f"Calibration fails: risks are {' and '.join(faults)} ({measured})."
    return f"Calibration holds: no bias of the risks beyond chance ({measured})."
