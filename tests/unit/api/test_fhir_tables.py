"""Bundles become records of any feature table with a FHIR operation."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from api.protocols.fhir.lenient import LenientParser
from api.protocols.fhir.parse import BundleParser, ParsedBundle, RefusedBundle
from schemas.fhir.mapping import FhirMapping
from schemas.tables.fhir import LOINC
from scoring.compiled_table import CompiledTable
from tests.support.fhir_bundles import DAY, TODAY, Json, bundle, quantity
from tests.support.other_tables import table


def parser(name: str) -> tuple[BundleParser, FhirMapping]:
    compiled = CompiledTable(table(name))
    mapping = FhirMapping.of(compiled.table)
    assert mapping is not None
    return BundleParser(mapping, compiled.records), mapping


def patient(gender: str, born: str = "1950-01-01") -> Json:
    return {"resourceType": "Patient", "id": "p-1", "gender": gender, "birthDate": born}


def observation(system: str, code: str, **value: Any) -> Json:
    coding = [{"system": system, "code": code}]
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"coding": coding},
        "effectiveDateTime": DAY,
        **value,
    }


def coded(mapping: FhirMapping, field: str, code: str) -> Json:
    concept = {"coding": [{"system": f"{mapping.system}:{field}", "code": code}]}
    return observation(mapping.system, field, valueCodeableConcept=concept)


def fields(reading: object) -> dict[str, Any]:
    """Return the fields of a record that were sent."""
    assert isinstance(reading, ParsedBundle), reading
    return {name: value for name, value in json.loads(reading.record).items() if value is not None}


def test_the_lenient_reading_is_that_of_any_table() -> None:
    """The latest of each component of a panel, in units as systems write them; texts stay texts."""
    compiled = CompiledTable(table("whas500"))
    mapping = FhirMapping.of(compiled.table)
    assert mapping is not None
    own = LenientParser(mapping, compiled.records)
    pressures = [
        {
            **observation(LOINC, "85354-9"),
            "effectiveDateTime": when,
            "component": [
                {
                    "code": {"coding": [{"system": LOINC, "code": code}]},
                    "valueQuantity": {"value": value, "unit": "mm hg"},
                }
                for code, value in (("8462-4", 90.4), ("8480-6", systolic))
            ],
        }
        for when, systolic in (("2024-03-15", 151), ("2024-03-14", 160))
    ]
    reading = own.parse(bundle(patient("male"), *pressures, coded(mapping, "sho", "0")), TODAY)
    assert fields(reading.result) == {"patient_id": "p-1", "age": 74, "gender": 0, "sysbp": 151, "diasbp": 90, "sho": 0}
    assert [each.field for each in reading.passed_over] == ["diasbp", "sysbp"]


def test_every_component_of_a_panel_is_a_field() -> None:
    """The gender has the codes of the table; a heart rate is a field here."""
    own, mapping = parser("whas500")
    pressure = {
        **observation(LOINC, "85354-9"),
        "component": [
            {"code": {"coding": [{"system": LOINC, "code": "8462-4"}]}, "valueQuantity": quantity(90, "mm[Hg]")},
            {"code": {"coding": [{"system": LOINC, "code": "8480-6"}]}, "valueQuantity": quantity(151, "mm[Hg]")},
        ],
    }
    rate = observation(LOINC, "8867-4", valueQuantity=quantity(77, "/min"))
    findings = [coded(mapping, "sho", "0"), observation(mapping.system, "chf", valueBoolean=True)]
    reading = own.parse(bundle(patient("female"), pressure, rate, *findings), TODAY)
    assert fields(reading) == {
        "patient_id": "p-1",
        "age": 74,
        "gender": 1,
        "hr": 77,
        "sysbp": 151,
        "diasbp": 90,
        "sho": 0,
        "chf": 1,
    }


def flchain_bundle(mapping: FhirMapping, *others: Json, gender: str = "male") -> bytes:
    year = observation(mapping.system, "sample_yr", valueQuantity=quantity(1997, "a"))
    return bundle(patient(gender), year, *others)


@pytest.mark.parametrize(("gender", "code"), [("female", "F"), ("male", "M")])
def test_codes_that_are_texts_are_sent_as_texts(gender: str, code: str) -> None:
    """In the record; in the Bundle they are the codes of our system, or a boolean for the codes no and yes."""
    own, mapping = parser("flchain")
    for mgus in (coded(mapping, "mgus", "yes"), observation(mapping.system, "mgus", valueBoolean=True)):
        reading = own.parse(flchain_bundle(mapping, mgus, gender=gender), TODAY)
        assert fields(reading) == {"patient_id": "p-1", "age": 74, "sex": code, "sample_yr": 1997, "mgus": "yes"}
    sex = coded(mapping, "sex", code)
    assert fields(own.parse(flchain_bundle(mapping, sex, gender="unknown"), TODAY))["sex"] == code


def test_units_are_those_of_the_table() -> None:
    """Creatinine in mg/dL or umol/L, by either of its LOINC codes; the note names both unit and factor."""
    own, mapping = parser("flchain")
    for code in ("2160-0", "14682-9"):
        reading = own.parse(
            flchain_bundle(mapping, observation(LOINC, code, valueQuantity=quantity(97.2, "umol/L"))), TODAY
        )
        assert fields(reading)["creatinine"] == 1.099332
        assert isinstance(reading, ParsedBundle)
        assert "creatinine was converted from umol/L (x 0.01131)." in reading.notes


@pytest.mark.parametrize(
    ("changed", "code", "element"),
    [
        ({"valueInteger": 1}, "wrong_type", ".value"),
        (
            {"valueCodeableConcept": {"coding": [{"system": "urn:heartstream:flchain:mgus", "code": "1"}]}},
            "impossible_code",
            ".value",
        ),
        (
            {"valueCodeableConcept": {"coding": [{"system": "urn:heartstream:uci-heart:mgus", "code": "no"}]}},
            "unsupported_coding",
            ".value",
        ),
    ],
)
def test_other_values_of_text_codes_are_refused(changed: Json, code: str, element: str) -> None:
    """Integers, even positions, and codes of another table's system."""
    own, mapping = parser("flchain")
    found = own.parse(flchain_bundle(mapping, observation(mapping.system, "mgus", **changed)), TODAY)
    assert isinstance(found, RefusedBundle)
    assert [(str(issue.code), issue.pointer) for issue in found.issues] == [
        (code, f"Bundle.entry[2].resource{element}")
    ]


def test_the_errors_of_a_patient_name_the_fields_of_the_table() -> None:
    """Without an own code for the age, the text names the field's code of our system."""
    own, _ = parser("flchain")
    found = own.parse(bundle(patient("female", born="1950"), observation("urn:heartstream:flchain", "x")), TODAY)
    assert isinstance(found, RefusedBundle)
    (age,) = (issue for issue in found.issues if issue.pointer.endswith("birthDate"))
    assert age.message.endswith("send full dates, or code age of urn:heartstream:flchain")


def test_a_table_without_a_gender_and_an_age_takes_them_from_observations() -> None:
    """Nothing but the id follows from the Patient."""
    whole = table("flchain")
    assert whole.fhir is not None
    other = msgspec.structs.replace(whole, fhir=msgspec.structs.replace(whole.fhir, age="", gender="", genders={}))
    mapping = FhirMapping.of(other)
    assert mapping is not None
    own = BundleParser(mapping, CompiledTable(other).records)
    age = observation(mapping.system, "age", valueQuantity=quantity(70, "a"))
    sent = flchain_bundle(mapping, age, coded(mapping, "sex", "F"))
    assert fields(own.parse(sent, TODAY)) == {"patient_id": "p-1", "age": 70, "sex": "F", "sample_yr": 1997}
