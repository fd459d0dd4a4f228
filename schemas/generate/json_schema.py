"""JSON Schema 2020-12 documents of the contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from schemas.records import PATIENT_ID_MAX_CHARS, SCORE_SCHEMA_ID, DeadLetter, KnownOutcome, PatientRecord, Score
from schemas.tables.feature_table import CODING, PATIENT_ID, Coding, Feature, FeatureTable

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def _value(feature: Feature) -> dict[str, Any]:
    """Describe the valid values of one field."""
    base: dict[str, Any] = {"type": "string" if feature.labels else "number"}
    if feature.codes:
        choices: dict[str, Any] = {"enum": list(feature.sent)}
        meanings = (meaning for _, meaning in feature.codes)
        meaning = "; ".join(f"{sent} = {its}" for sent, its in zip(feature.sent, meanings, strict=True))
    else:
        low, high = feature.interval
        choices = {"minimum": low, "maximum": high}
        if feature.whole:
            choices["multipleOf"] = 1
        meaning = f"{low:g} to {high:g}"
    unit = f" [{feature.unit}]" if feature.unit else ""
    described = {"description": f"{feature.meaning}{unit}: {meaning}"}
    if feature.required:
        return {**base, **choices, **described}
    missing: dict[str, Any] = {"type": "null"}
    variants = [{**base, **choices}, missing]
    if feature.missing:
        variants.append({"enum": list(feature.missing), "description": "treated as null"})
    return {"anyOf": variants, **described}


def patient_record(table: FeatureTable) -> dict[str, Any]:
    """Describe a record of a feature table on the patients topic and of `POST /predict`."""
    recoded = _recoded(table)
    return {
        "title": "PatientRecord",
        "description": _first_paragraph(PatientRecord),
        "type": "object",
        "additionalProperties": False,
        "required": [PATIENT_ID, *table.names],
        "properties": {
            PATIENT_ID: {
                "type": "string",
                "minLength": 1,
                "maxLength": PATIENT_ID_MAX_CHARS,
                "description": "the producer's id of the patient; returned with the score",
            },
            **{each.name: _value(each) for each in table.features if each.name not in recoded},
            **{each.name: {"description": each.meaning} for each in table.features if each.name in recoded},
            CODING: {
                "enum": list(table.coding_by_name),
                "default": table.own_coding,
                "description": f"the coding of the record; {table.own_coding} is that of the feature table "
                f"{table.identifier}",
            },
        },
        **({"allOf": [_in_coding(table, coding) for coding in table.codings]} if recoded else {}),
    }


def _recoded(table: FeatureTable) -> frozenset[str]:
    """Return the fields whose valid values depend on the coding."""
    return frozenset(name for coding in table.codings for name in coding.codes)


def _in_coding(table: FeatureTable, coding: Coding) -> dict[str, Any]:
    """Describe the fields whose valid values depend on the coding."""
    named: dict[str, Any] = {"properties": {"coding": {"const": coding.name}}}
    if coding.name != table.own_coding:
        named["required"] = [CODING]
    recoded = _recoded(table)
    fields = [feature for feature in table.features if feature.name in recoded]
    return {"if": named, "then": {"properties": {feature.name: _coded(feature, coding) for feature in fields}}}


def _coded(feature: Feature, coding: Coding) -> dict[str, Any]:
    """Describe the valid values of one field in a coding."""
    codes = coding.codes.get(feature.name)
    if codes is None:
        return _value(feature)
    meanings: dict[int | None, str] = {**dict(feature.codes), None: "not measured"}
    text = f"{feature.meaning}: {'; '.join(f'{code} = {meanings[ours]}' for code, ours in codes.items())}"
    numbers = {"type": "number", "enum": list(codes)}
    if feature.required:
        return {**numbers, "description": text}
    absent = {"enum": list(feature.missing), "description": "treated as null"}
    return {"anyOf": [numbers, {"type": "null"}, absent], "description": text}


def struct_schemas(kinds: Sequence[type[msgspec.Struct]], ref_template: str) -> dict[str, dict[str, Any]]:
    """Describe output types and their parts, by name.

    All fields are required, except those that can be turned off.
    """
    _, components = msgspec.json.schema_components(kinds, ref_template=ref_template)
    optional = {
        kind.__name__: {field.encode_name for field in msgspec.structs.fields(kind) if _can_be_absent(field)}
        for kind in kinds
    }
    return {name: _closed(each, optional.get(name, set())) for name, each in sorted(components.items())}


def score() -> dict[str, Any]:
    """Describe a score as a document, as a schema registry gets it."""
    return _of_struct(Score, SCORE_SCHEMA_ID)


def _can_be_absent(field: msgspec.structs.FieldInfo) -> bool:
    return field.default is msgspec.UNSET


def _of_struct(kind: type[msgspec.Struct], identifier: str) -> dict[str, Any]:
    """Describe one output type as a document."""
    definitions = struct_schemas([kind], "#/$defs/{name}")
    top = definitions.pop(kind.__name__)
    return {"$schema": DIALECT, "$id": identifier, **top, "$defs": definitions}


def _closed(component: dict[str, Any], optional: set[str]) -> dict[str, Any]:
    """Require every field that is not optional, and put the docstring on one line."""
    tidy = {**component, "description": " ".join(str(component.get("description", "")).split())}
    if component.get("type") != "object":
        return tidy
    required = [name for name in component["properties"] if name not in optional]
    return {**tidy, "required": required, "additionalProperties": False}


def _first_paragraph(kind: type) -> str:
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def documents(table: FeatureTable) -> dict[str, dict[str, Any]]:
    """Return every schema document for records of a feature table, by file name."""
    return {
        "patient-record.schema.json": {
            "$schema": DIALECT,
            "$id": "urn:heartstream:patient-record:1",
            **patient_record(table),
        },
        "score.schema.json": score(),
        "dead-letter.schema.json": _of_struct(DeadLetter, "urn:heartstream:dead-letter:1"),
        "known-outcome.schema.json": _of_struct(KnownOutcome, "urn:heartstream:known-outcome:1"),
    }
