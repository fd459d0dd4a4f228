"""Patient records as FHIR Bundles, built by `fhir.resources`, which holds them to the specification.

It has R4B (4.3.0) where hospitals have R4 (4.0.1): the resources in use here are the same in both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fhir.resources.R4B.bundle import Bundle, BundleEntry
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.patient import Patient

from schemas.fhir.mapping import FLAGS, LOINC, OWN, UCUM

Json = dict[str, Any]
DAY = "2024-03-15T10:30:00+01:00"
"""When everything was observed."""
UNITS = {"trestbps": "mm[Hg]", "chol": "mg/dL", "thalach": "/min", "oldpeak": "mm"}
STANDARD = {"trestbps": (LOINC, "8480-6"), "chol": (LOINC, "2093-3")}
GENDERS = {0: "female", 1: "male"}


def quantity(value: float, unit: str) -> Json:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def observation(field: str, value: float | None, **others: Any) -> Json:
    """Tell a field by its standard code where it has one."""
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
    """Tell age and sex as hospitals do: the patient's birthday was the day before."""
    born = f"{2024 - int(record['age'])}-03-14"
    return {"resourceType": "Patient", "id": "p-1", "gender": GENDERS[record["sex"]], "birthDate": born} | others


def resources(record: Mapping[str, Any]) -> list[Json]:
    """Tell a record; what is missing is left out."""
    parts = [observation(field, value) for field, value in record.items() if field not in {"patient_id", "age", "sex"}]
    return [patient(record), *(each for each in parts if "dataAbsentReason" not in each)]


def bundle(*parts: Json) -> bytes:
    """Put resources together, each checked as what it says it is."""
    kinds = {"Patient": Patient, "Observation": Observation}
    entries = [BundleEntry(resource=kinds[part["resourceType"]].model_validate(part)) for part in parts]
    return Bundle(type="collection", entry=entries).model_dump_json().encode()


def unchecked(*parts: Any, **others: Any) -> bytes:
    """Put together what may be no FHIR."""
    return json.dumps(
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": part} for part in parts], **others}
    ).encode()
