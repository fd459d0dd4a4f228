"""Patients of an EHR, invented, as Synthea's are: years of vital signs and laboratory results."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any, Final

PATIENT: Final = "4f1c"
"""The id of a patient with a history."""
NO_OBSERVATIONS: Final = "77aa"
"""The id of a patient without measurements."""
DECEASED: Final = "9b0e"
"""The id of a patient who has died."""
_LOINC: Final = "http://loinc.org"
_LAST: Final = dt.date(2026, 5, 6)
_DAYS: Final = 250
"""Blood pressures, of the last days of an inpatient: more than the page reads."""


def patients() -> Iterator[dict[str, Any]]:
    """Yield the Patients."""
    yield _patient(PATIENT, "Testfall", "1958-11-02")
    yield _patient(NO_OBSERVATIONS, "Leerfall", "1970-03-04")
    yield {**_patient(DECEASED, "Altfall", "1931-01-02"), "deceasedDateTime": "2024-02-03"}


def _patient(number: str, family: str, birth: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": number,
        "active": True,
        "identifier": [{"system": "urn:example:mrn", "value": f"MRN-{number}"}],
        "name": [{"use": "nickname", "text": "Kitty"}, {"use": "official", "family": family, "given": ["Karin", "M."]}],
        "telecom": [{"system": "phone", "value": "555-0100"}],
        "address": [{"city": "Musterstadt"}],
        "gender": "female",
        "birthDate": birth,
    }


def observations() -> Iterator[dict[str, Any]]:
    """Yield the Observations of the first patient; the latest pressure is 152, the only cholesterol is older."""
    for day in range(_DAYS):
        pressure = {
            "code": _coded("85354-9"),
            "component": [
                {"code": _coded("8462-4"), "valueQuantity": _quantity(88, "mm[Hg]")},
                {"code": _coded("8480-6"), "valueQuantity": _quantity(152 - day % 20, "mm[Hg]")},
            ],
        }
        yield _observation(f"bp-{day}", f"{_LAST - dt.timedelta(days=day)}T10:15:00+02:00", pressure)
    weight = {"code": _coded("29463-7"), "valueQuantity": _quantity(70, "kg")}
    yield _observation("weight", "2026-05-06", weight)
    chol = {"code": _coded("2093-3"), "valueQuantity": _quantity(231.4, "mg/dL")}
    yield _observation("chol", "2023-04-01T08:00:00Z", chol)
    yield _observation(
        "fbs", "2023-04-01T08:00:00Z", {"code": _coded("1558-6"), "valueQuantity": _quantity(99, "mg/dL")}
    )


def _observation(name: str, when: str, content: dict[str, Any]) -> dict[str, Any]:
    subject = {"reference": f"Patient/{PATIENT}"}
    fixed = {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "subject": subject,
        "effectiveDateTime": when,
    }
    return {**fixed, **content}


def _coded(code: str) -> dict[str, Any]:
    return {"coding": [{"system": _LOINC, "code": code}]}


def _quantity(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
