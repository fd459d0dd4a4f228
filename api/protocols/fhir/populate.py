"""Filling the form of the feature table in with what a Bundle has: the operation `$populate` of SDC."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Sequence
from typing import Any

from api.protocols.fhir.observations import ObservedField
from api.protocols.fhir.operation_outcome import information
from api.protocols.fhir.parse import ParsedBundle
from schemas.fhir.mapping import EXTENSION, FhirMapping
from schemas.fhir.questionnaire import canonical, grouped, option, text_of
from schemas.tables.feature_table import Feature

Json = dict[str, Any]


def populated(
    parsed: ParsedBundle, mapping: FhirMapping, now: dt.datetime, base: str, notes: Sequence[str] = ()
) -> Json:
    """Return the Parameters with a QuestionnaireResponse of what was read, and what is to be known of it.

    `base` is the URL of the server, `now` the time of the answers, with its zone, `notes` are further ones.
    """
    record = json.loads(parsed.record)
    sources = {each.field: each for each in reversed(parsed.observed)}
    features = mapping.table.features
    items = {
        each.name: _item(mapping, each, record[each.name], sources.get(each.name), parsed.subject)
        for each in features
        if record[each.name] is not None
    }
    response = {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": f"{canonical(mapping, base)}|{mapping.table.version}",
        "status": "in-progress",
        "subject": {"reference": parsed.subject},
        "authored": now.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **({"item": grouped(mapping, items)} if items else {}),
    }
    missing = [each for each in features if each.name not in items]
    issues = information((*_missing_notes(missing), *parsed.notes, *notes))
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": "response", "resource": response}, {"name": "issues", "resource": issues}],
    }


def _missing_notes(missing: list[Feature]) -> Iterator[str]:
    required = [each.name for each in missing if each.required]
    yield f"Required, and not in the Bundle: {', '.join(required)}." if required else "Every required field is known."
    if optional := [each.name for each in missing if not each.required]:
        yield f"Not in the Bundle: {', '.join(optional)}."


def _item(
    mapping: FhirMapping, feature: Feature, value: float | str, source: ObservedField | None, subject: str
) -> Json:
    """Return a question with its answer, and where that is from."""
    if feature.is_flag:
        answer: Json = {"valueBoolean": value == feature.sent[1]}
    elif feature.codes:
        answer = {"valueCoding": option(mapping, feature, value)}
    else:
        answer = {"valueInteger": int(value)} if feature.whole else {"valueDecimal": value}
    origin = {"url": f"{EXTENSION}source", "extension": list(_source(source, subject))}
    return {"extension": [origin], "linkId": feature.name, "text": text_of(feature), "answer": [answer]}


def _source(source: ObservedField | None, subject: str) -> Iterator[Json]:
    """Yield the kind of resource that a value is from, its reference and the days that its date can mean."""
    kind = "Patient" if source is None else "QuestionnaireResponse" if source.is_answer else "Observation"
    yield {"url": "kind", "valueCode": kind}
    if reference := subject if source is None else source.reference:
        yield {"url": "reference", "valueReference": {"reference": reference}}
    if source is not None and source.days:
        first, last = (day.isoformat() for day in source.days)
        yield {"url": "period", "valuePeriod": {"start": first, "end": last}}
