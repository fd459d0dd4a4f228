"""Serializing a score as a RiskAssessment, without loss."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from msgspec import UNSET, UnsetType

from api.protocols.fhir.dates import day_after
from api.protocols.fhir.observations import ObservedField
from api.protocols.fhir.parse import ParsedBundle
from schemas.fhir.mapping import EXTENSION, UCUM, FhirMapping
from schemas.fhir.responses import (
    Annotation,
    CodeableConcept,
    Coding,
    Extension,
    Identifier,
    Narrative,
    Period,
    Prediction,
    Quantity,
    Range,
    Reference,
    RiskAssessment,
)
from schemas.records import Score, WarningCode
from scoring.batches import JsonBatch
from scoring.scorer import Scorer
from scoring.wording import INTERVAL, single_label, uncertain

WARNINGS: Final = {
    WarningCode.IMPUTED: "was missing, and the average of the training patients stands in for it.",
    WarningCode.OUT_OF_TRAINING_RANGE: "is outside what the model saw in training: the risk is an extrapolation.",
}


def risk_assessment(
    parsed: ParsedBundle, score: Score, scorer: Scorer, now: dt.datetime, mapping: FhirMapping
) -> RiskAssessment:
    """Return the RiskAssessment of a score by `scorer`."""
    model, notes = score.model, tuple(_notes(parsed, score, scorer))
    basis = tuple(Reference(each.reference or UNSET, _dated(each)) for each in parsed.observed)
    period = _period(parsed.day, mapping.table.outcome.horizon)
    method = Coding(f"{EXTENSION}model", model.digest, f"{model.name} {model.version}")
    return RiskAssessment(
        text=_narrative(score, period, mapping, notes),
        status="final",
        method=CodeableConcept(f"heartstream: {model.name} {model.version}, model digest {model.digest}", (method,)),
        code=CodeableConcept(f"{mapping.operation.title} by {len(mapping.table.features)} clinical fields"),
        subject=Reference(parsed.subject),
        occurrence_date_time=now.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        performer=Reference(
            display=f"heartstream: {model.name} {model.version}",
            type="Device",
            identifier=Identifier(f"{EXTENSION}model", model.digest),
        ),
        prediction=(_prediction(score, period, mapping),),
        note=tuple(map(Annotation, notes)),
        extension=tuple(_record_extensions(score)),
        basis=basis or UNSET,
    )


def _dated(observed: ObservedField) -> str:
    """Return the field of an Observation, and its day, or the days that its date can mean."""
    days = dict.fromkeys(day.isoformat() for day in observed.days or ())
    return f"{observed.field}, {' to '.join(days)}" if days else observed.field


def _period(day: dt.date, horizon: str) -> Period:
    """Return the time that a risk is for: the day of the last Observation, and the horizon from then."""
    return Period(day.isoformat(), day_after(day, horizon).isoformat())


def _narrative(score: Score, period: Period, mapping: FhirMapping, notes: Sequence[str]) -> Narrative:
    """Say in XHTML what the resource says: the risk, and all notes."""
    operation = mapping.operation
    when = f"on {period.start}" if period.start == period.end else f"from {period.start} to {period.end}"
    risk = f"{operation.title}: {score.risk:.1%} ({operation.outcome}, {when}). {_qualitative(score, mapping)}."
    texts = "".join(f"<p>{escape(text, quote=False)}</p>" for text in notes)
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><p><b>{escape(risk, quote=False)}</b></p>{texts}</div>'
    return Narrative("generated", div)


def _qualitative(score: Score, mapping: FhirMapping) -> str:
    """Say on which side of the threshold a risk is, its interval, and which outcomes are plausible."""
    parts = [f"{'At or above' if score.label else 'Below'} the threshold {score.threshold:g}"]
    if score.interval:
        low, high = score.interval
        parts.append(f"90% interval {low} to {high}")
    if score.label_set:
        event = mapping.table.outcome.event
        outcomes = (f"with {event}" if label else f"without {event}" for label in score.label_set)
        parts.append(f"plausible: {' or '.join(outcomes)}")
    return "; ".join(parts)


def _prediction(score: Score, period: Period, mapping: FhirMapping) -> Prediction:
    return Prediction(
        CodeableConcept(mapping.operation.outcome),
        score.risk,
        CodeableConcept(_qualitative(score, mapping), (Coding(f"{EXTENSION}label", str(score.label)),)),
        period,
        _rationale(score),
        tuple(_prediction_extensions(score)),
    )


def _rationale(score: Score) -> str | UnsetType:
    """Explain in words what moves the risk most."""
    if not score.reasons:
        return UNSET
    reasons = ", ".join(f"{reason.field} {reason.log_odds:+g}" for reason in score.reasons)
    return f"What moves the log-odds most, compared with the average training patient: {reasons}."


def _prediction_extensions(score: Score) -> Iterator[Extension]:
    """Yield the uncertainty of the risk."""
    if score.interval:
        yield Extension(f"{EXTENSION}interval", value_range=_range(score.interval))
    if score.sampling_interval:
        yield Extension(f"{EXTENSION}sampling-interval", value_range=_range(score.sampling_interval))
    yield Extension(f"{EXTENSION}threshold", value_decimal=score.threshold)
    for label in score.label_set or ():
        yield Extension(f"{EXTENSION}plausible-label", value_code=str(label))
    for reason in score.reasons or ():
        parts = (Extension("field", value_code=reason.field), Extension("log-odds", value_decimal=reason.log_odds))
        yield Extension(f"{EXTENSION}reason", extension=parts)


def _range(interval: tuple[float, float]) -> Range:
    low, high = (Quantity(limit, UCUM, "1") for limit in interval)
    return Range(low, high)


def _record_extensions(score: Score) -> Iterator[Extension]:
    """Yield the model, and what was missing or doubtful."""
    model = score.model
    parts = (
        *(Extension("name", value_string=model.name), Extension("version", value_string=model.version)),
        Extension("digest", value_string=model.digest),
    )
    yield Extension(f"{EXTENSION}model", extension=parts)
    if score.pattern is not None:
        yield Extension(f"{EXTENSION}pattern", value_string=score.pattern)
    for field in score.missing:
        yield Extension(f"{EXTENSION}missing", value_code=field)
    for field in score.measure_next or ():
        yield Extension(f"{EXTENSION}measure-next", value_code=field)
    for warning in score.warnings:
        parts_of_warning = (
            Extension("code", value_code=str(warning.code)),
            Extension("field", value_code=warning.field),
        )
        yield Extension(f"{EXTENSION}warning", extension=parts_of_warning)
    if isinstance(score.input_digest, str):
        yield Extension(f"{EXTENSION}input-digest", value_string=score.input_digest)


def _notes(parsed: ParsedBundle, score: Score, scorer: Scorer) -> Iterator[str]:
    """Yield notes for human readers."""
    yield scorer.manifest.data.disclaimer
    yield f"The probability {score.risk} is a share of 1, not a percentage."
    if score.interval:
        low, high = score.interval
        yield f"90% interval {low} to {high}. {INTERVAL}"
    if score.sampling_interval:
        low, high = score.sampling_interval
        yield (
            f"With the same fields, other training patients account for {low} to {high} of it; the rest is what the "
            "missing fields could still show."
        )
    yield from label_set_notes(parsed, score, scorer)
    if score.missing:
        yield f"Not sent or not measured: {', '.join(score.missing)}."
    if score.measure_next:
        yield (
            f"Most informative to measure next: {', '.join(score.measure_next)}. Costs and risks of the tests "
            "are not considered."
        )
    yield from (f"{warning.field} {WARNINGS[warning.code]}" for warning in score.warnings)
    yield from parsed.notes


def label_set_notes(parsed: ParsedBundle, score: Score, scorer: Scorer) -> Iterator[str]:
    """Yield what the label set means, if there is one."""
    if not isinstance(score.label_set, tuple):
        return
    compiled = scorer.compiled
    if len(score.label_set) != 1:
        yield uncertain(compiled.table.outcome.event)
        return
    (group,) = compiled.groups.of(JsonBatch([parsed.record]).decode(compiled).matrix).tolist()
    yield single_label(scorer.uncertainty, compiled, group, score.label_set[0])
