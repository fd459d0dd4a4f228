"""Invented patients of the EHR: one with what a risk needs, and one with what EHRs usually have."""

from __future__ import annotations

from typing import Any

from schemas.fhir.mapping import UCUM
from schemas.tables.fhir import LOINC

OWN = "urn:heartstream:uci-heart"
_YEARS = range(2014, 2027)


def _observation(patient: str, name: str, system: str, code: str, day: str, **value: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"{patient}-{name}",
        "status": "final",
        "code": {"coding": [{"system": system, "code": code}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": day,
        **value,
    }


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": UCUM, "code": unit}


def _coded(patient: str, field: str, code: int, day: str) -> dict[str, Any]:
    concept = {"coding": [{"system": f"{OWN}:{field}", "code": str(code)}]}
    return _observation(patient, field, OWN, field, day, valueCodeableConcept=concept)


def _pressure(patient: str, year: int) -> dict[str, Any]:
    """Return a panel of blood pressures."""
    parts = [("8480-6", 120 + year - _YEARS[0]), ("8462-4", 80)]
    components = [
        {"code": {"coding": [{"system": LOINC, "code": code}]}, "valueQuantity": _quantity(value, "mm[Hg]")}
        for code, value in parts
    ]
    return _observation(patient, f"bp-{year}", LOINC, "85354-9", f"{year}-09-14T08:30:00+02:00", component=components)


def _usual(patient: str, gender: str, born: str) -> list[dict[str, Any]]:
    """Return what EHRs usually have: a pressure of each year, more than one page of a search, and cholesterol."""
    cholesterol = _observation(
        patient, "chol", LOINC, "2093-3", "2026-09-14T09:10:00+02:00", valueQuantity=_quantity(247, "mg/dL")
    )
    return [
        {"resourceType": "Patient", "id": patient, "active": True, "gender": gender, "birthDate": born},
        *(_pressure(patient, year) for year in _YEARS),
        cholesterol,
    ]


REFERRED, NOT_REFERRED = "referred", "not-referred"
PATIENTS = [
    *_usual(REFERRED, "male", "1964-05-02"),
    _coded(REFERRED, "cp", 2, "2026-11-20"),
    _coded(REFERRED, "restecg", 0, "2026-11-20"),
    *_usual(NOT_REFERRED, "female", "1971-02-17"),
]
