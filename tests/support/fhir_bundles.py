"""Patient records as FHIR Bundles, built by `fhir.resources`, which validates them against the specification.

It implements R4B (4.3.0), where hospitals use R4 (4.0.1): the resources used here are the same in both.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from typing import Any

from fhir.resources.R4B.bundle import Bundle, BundleEntry
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.patient import Patient
from hypothesis import strategies as st

from api.protocols.fhir.parse import BundleParser, ParsedBundle, RefusedBundle
from heartstream.demo.patients import real_patients
from schemas.fhir.mapping import UCUM, FhirMapping
from schemas.tables.builtin import UCI_HEART
from schemas.tables.fhir import LOINC
from tests.support.uci import UCI

Json = dict[str, Any]
assert UCI_HEART.fhir is not None
UCI_FHIR = FhirMapping(UCI_HEART, UCI_HEART.fhir)
OPERATION, OWN, FLAGS = UCI_FHIR.path, UCI_FHIR.system, UCI_FHIR.flags
parse = BundleParser(UCI_FHIR, UCI.records).parse
"""The strict reading."""
DAY = "2024-03-15T10:30:00+01:00"
"""The time of all observations."""
UNITS = {"trestbps": "mm[Hg]", "chol": "mg/dL", "thalach": "/min", "oldpeak": "mm"}
STANDARD = {"trestbps": (LOINC, "8480-6"), "chol": (LOINC, "2093-3")}
GENDERS = {0: "female", 1: "male"}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
"""Any JSON value, nested up to a few levels."""


def quantity(value: float, unit: str) -> Json:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def observation(field: str, value: float | None, **others: Any) -> Json:
    """Return an observation of a field, with its standard code if it has one."""
    system, code = STANDARD.get(field, (OWN, field))
    found: Json = {
        "resourceType": "Observation",
        "id": f"o-{field}",
        "status": "final",
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": "Patient/p-1"},
        "effectiveDateTime": DAY,
    }
    if value is None:
        found["dataAbsentReason"] = {"coding": [{"code": "not-performed"}]}
    elif field in UNITS:
        found["valueQuantity"] = quantity(value, UNITS[field])
    elif field in FLAGS:
        found["valueBoolean"] = bool(value)
    else:
        found["valueCodeableConcept"] = {"coding": [{"system": f"{OWN}:{field}", "code": str(int(value))}]}
    return found | others


def patient(record: Mapping[str, Any], **others: Any) -> Json:
    """Return age and sex as a FHIR Patient: the birthday was the day before the observations."""
    born = f"{2024 - int(record['age'])}-03-14"
    return {"resourceType": "Patient", "id": "p-1", "gender": GENDERS[record["sex"]], "birthDate": born} | others


def resources(record: Mapping[str, Any]) -> list[Json]:
    """Return a record as resources; missing values are omitted."""
    parts = [observation(field, value) for field, value in record.items() if field not in {"patient_id", "age", "sex"}]
    return [patient(record), *(each for each in parts if "dataAbsentReason" not in each)]


def bundle(*parts: Json) -> bytes:
    """Return a Bundle of resources, each validated as its type."""
    kinds = {"Patient": Patient, "Observation": Observation}
    entries = [BundleEntry(resource=kinds[part["resourceType"]].model_validate(part)) for part in parts]
    return Bundle(type="collection", entry=entries).model_dump_json().encode()


def unchecked(*parts: Any, **others: Any) -> bytes:
    """Return a Bundle of parts that may not be valid FHIR."""
    return json.dumps(
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": part} for part in parts], **others}
    ).encode()


TODAY = dt.date(2026, 11, 26)
RECORD = real_patients()[0]
COMPLETE = resources(RECORD)
CANARY = "Zebedee-4711"


def loinc_observation(code: str, **value: Any) -> Json:
    return {**observation("x", None, **value), "code": {"coding": [{"system": LOINC, "code": code}]}, "id": f"l-{code}"}


def loinc_quantity(code: str, value: float, unit: str) -> Json:
    found = loinc_observation(code, valueQuantity=quantity(value, unit))
    del found["dataAbsentReason"]
    return found


def with_replacement(field: str, *others: Json) -> list[Json]:
    """Return the complete Bundle, with other resources in place of a field's."""
    return [*(part for part in COMPLETE if part["id"] != f"o-{field}"), *others]


def with_changes(identity: str, **changes: Any) -> list[Json]:
    """Return the complete Bundle with members of one resource changed; None removes one."""
    found = []
    for part in COMPLETE:
        merged = part | changes if part["id"] == identity else part
        found.append({name: value for name, value in merged.items() if value is not None})
    return found


def parsed_fields(body: bytes) -> dict[str, float | None]:
    """Return the fields of the record that a Bundle means."""
    reading = parse(body, TODAY)
    assert isinstance(reading, ParsedBundle), reading
    record = json.loads(reading.record)
    assert record.pop("patient_id") == "p-1"
    return record


def parsed_issues(body: bytes) -> list[tuple[str, str]]:
    """Return code and FHIRPath of every issue in a Bundle."""
    refused = parse(body, TODAY)
    assert isinstance(refused, RefusedBundle), refused
    assert CANARY not in repr(refused)
    return [(str(issue.code), issue.pointer) for issue in refused.issues]


BLOOD_PRESSURE = {
    **loinc_observation("85354-9"),
    "component": [
        {"code": {"coding": [{"system": LOINC, "code": "8462-4"}]}, "valueQuantity": quantity(90, "mm[Hg]")},
        {"code": {"coding": [{"system": LOINC, "code": "8480-6"}]}, "valueQuantity": quantity(151, "mm[Hg]")},
    ],
}
del BLOOD_PRESSURE["dataAbsentReason"]
