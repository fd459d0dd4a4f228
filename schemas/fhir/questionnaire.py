"""The form of a feature table as a FHIR Questionnaire, for fields that no record system has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import ceil, floor
from typing import Any, Final

from schemas.fhir.mapping import UCUM, FhirMapping
from schemas.fhir.responses import DISCLAIMER, computable_name
from schemas.tables.feature_table import Feature

Json = dict[str, Any]
_STANDARD: Final = "http://hl7.org/fhir/StructureDefinition/"
_OTHER: Final = "Other"


def canonical(mapping: FhirMapping, base: str) -> str:
    """Return the URL of the form at a server, without its version."""
    return f"{base}{mapping.questionnaire_path}"


def questionnaire(mapping: FhirMapping, base: str) -> Json:
    """Return the form: an item for each field, in the groups of the web page. `base` is the URL of the server."""
    operation, table = mapping.operation, mapping.table
    asked = {each.name: _item(mapping, each) for each in table.features}
    return {
        "resourceType": "Questionnaire",
        "id": operation.operation,
        "url": canonical(mapping, base),
        "version": table.version,
        "name": computable_name(operation),
        "title": operation.title,
        "status": "active",
        "subjectType": ["Patient"],
        "publisher": "heartstream",
        "description": f"{operation.title}: {operation.outcome}. {len(asked)} fields of {table.title}. {DISCLAIMER}",
        "item": [{"linkId": "disclaimer", "text": DISCLAIMER, "type": "display"}, *grouped(mapping, asked, "group")],
    }


def grouped(mapping: FhirMapping, items: Mapping[str, Json], kind: str = "") -> list[Json]:
    """Return items, by field, in the groups of the form; empty groups are omitted. `kind` is the type of a group."""
    type_of_group = {"type": kind} if kind else {}
    found = []
    for place, (title, names) in enumerate(_sections(mapping), 1):
        if inner := [items[name] for name in names if name in items]:
            found.append({"linkId": f"section-{place}", "text": title, **type_of_group, "item": inner})
    return found


def text_of(feature: Feature) -> str:
    """Return the text of a question: what the field means, and its unit."""
    unit = f", in {feature.unit}" if feature.unit and not feature.codes else ""
    return f"{feature.meaning[:1].upper()}{feature.meaning[1:]}{unit}"


def option(mapping: FhirMapping, feature: Feature, sent: float | str) -> Json:
    """Return the Coding of a code, as a record has it."""
    place = feature.sent.index(sent)
    code = str(feature.sent[place])
    return {"system": f"{mapping.system}:{feature.name}", "code": code, "display": feature.codes[place][1]}


def _sections(mapping: FhirMapping) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the sections of the web page's form, with the fields that are in none at the end."""
    table, sections = mapping.table, mapping.table.form.sections
    placed = {name for names in sections.values() for name in names}
    yield from sections.items()
    yield _OTHER if sections else table.title, tuple(name for name in table.names if name not in placed)


def _item(mapping: FhirMapping, feature: Feature) -> Json:
    """Return the question of a field: a boolean for no and yes, a choice of codes, or a number with its limits."""
    item: Json = {"linkId": feature.name, "code": list(_codes(mapping, feature)), "text": text_of(feature)}
    if feature.is_flag:
        item["type"] = "boolean"
    elif feature.codes:
        item["type"] = "choice"
        item["answerOption"] = [{"valueCoding": option(mapping, feature, sent)} for sent in feature.sent]
    else:
        item["type"] = "integer" if feature.whole else "decimal"
        item["extension"] = list(_limits(mapping, feature))
    item["required"] = feature.required
    return item


def _codes(mapping: FhirMapping, feature: Feature) -> Iterator[Json]:
    """Yield the first standard code of a field, if that means the field itself, and our own.

    Further codes are narrower, and a code with a limit is about the quantity that the field says something of.
    """
    first = next(iter(feature.fhir), None)
    if first is not None and first.above is None and first.fasting is not True:
        yield {"system": first.system, "code": first.code, "display": first.display}
    yield {"system": mapping.system, "code": feature.name, "display": feature.meaning}


def _limits(mapping: FhirMapping, feature: Feature) -> Iterator[Json]:
    if unit := mapping.by_code[mapping.system, feature.name].unit:
        coding = {"system": UCUM, "code": unit, "display": feature.unit or unit}
        yield {"url": f"{_STANDARD}questionnaire-unit", "valueCoding": coding}
    low, high = feature.interval
    limits = {"minValue": ceil(low), "maxValue": floor(high)} if feature.whole else {"minValue": low, "maxValue": high}
    for name, limit in limits.items():
        yield {"url": f"{_STANDARD}{name}", f"value{'Integer' if feature.whole else 'Decimal'}": limit}
