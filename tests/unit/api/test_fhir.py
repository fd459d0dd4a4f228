"""A FHIR Bundle becomes the patient record that it means."""

from __future__ import annotations

import json

import pytest

from api.protocols.fhir.parse import ParsedBundle
from heartstream.demo.patients import real_patients
from tests.support.fhir_bundles import (
    BLOOD_PRESSURE,
    CANARY,
    COMPLETE,
    OWN,
    RECORD,
    TODAY,
    UCI_FHIR,
    Json,
    bundle,
    loinc_quantity,
    observation,
    parse,
    parsed_fields,
    patient,
    quantity,
    resources,
    unchecked,
    with_replacement,
)
from tests.support.uci import FEATURE_NAMES


def test_every_real_patient_is_read_as_sent() -> None:
    """All 920, built by the models of `fhir.resources`; missing values stay missing."""
    for record in real_patients():
        assert parsed_fields(bundle(*resources(record))) == {name: record[name] for name in FEATURE_NAMES}


@pytest.mark.parametrize(
    ("field", "value", "others"),
    [
        ("trestbps", 151, [BLOOD_PRESSURE]),
        ("chol", 201, [loinc_quantity("2093-3", 5.2, "mmol/L")]),
        ("chol", 201, [loinc_quantity("14647-2", 5.2, "mmol/L")]),
        ("chol", 210, [loinc_quantity("14647-2", 210, "mg/dL")]),
        ("fbs", 0, [loinc_quantity("1558-6", 120, "mg/dL")]),
        ("fbs", 1, [loinc_quantity("1558-6", 120.1, "mg/dL")]),
        ("fbs", 0, [loinc_quantity("14771-0", 6.6, "mmol/L")]),
        ("fbs", 1, [loinc_quantity("14771-0", 6.7, "mmol/L")]),
        ("oldpeak", 2.3, [observation("oldpeak", 1, valueQuantity=quantity(0.23, "mV"))]),
        ("oldpeak", -1.5, [observation("oldpeak", -1.5)]),
        ("ca", 2, [{**observation("ca", None, valueInteger=2), "dataAbsentReason": None}]),
        ("ca", None, [observation("ca", None)]),
        ("ca", 2, [observation("ca", None), observation("ca", 2, id="again")]),
        ("thal", 7, [observation("thal", 7), observation("thal", 7, id="again")]),
        ("thal", 7, [observation("thal", 7, subject=None, effectiveDateTime=None)]),
    ],
)
def test_values_of_hospitals_are_converted(field: str, value: float | None, others: list[Json]) -> None:
    """Panels, units, raw values and numeric codes; identical duplicates count once."""
    tidy = [{name: found for name, found in part.items() if found is not None} for part in others]
    assert parsed_fields(bundle(*with_replacement(field, *tidy))) == {
        **{name: RECORD[name] for name in FEATURE_NAMES},
        field: value,
    }


@pytest.mark.parametrize(
    ("born", "when", "age"),
    [
        ("1961-03-14", "2024-03-14T23:59:59-11:00", 63),
        ("1961-03-15", "2024-03-14", 62),
        ("1961-03-01", "2024-03", 63),
        ("1961-02", "2024-03-15", 63),
        ("1960-02-29", "2023-02-28", 62),
        ("1960-02-29", "2023-03-01", 63),
    ],
)
def test_age_is_that_of_the_last_observation(born: str, when: str, age: int) -> None:
    """In completed years, if both dates determine it; an older Observation does not matter."""
    old = observation("chol", 233, effectiveDateTime="1999")
    others = [{**part, "effectiveDateTime": when} for part in with_replacement("chol")[1:]]
    assert parsed_fields(bundle(patient(RECORD, birthDate=born), old, *others))["age"] == age


def test_age_without_dates_is_that_of_today() -> None:
    """It is computed on the day of the assessment, and the response says so."""
    undated = [{name: value for name, value in part.items() if name != "effectiveDateTime"} for part in COMPLETE]
    reading = parse(bundle(*undated), TODAY)
    assert isinstance(reading, ParsedBundle)
    assert json.loads(reading.record)["age"] == 65
    assert "age is in completed years on the day of this assessment" in reading.notes[0]


def test_observations_can_have_age_and_sex() -> None:
    """If the Patient has no birth date, or no gender that the model knows."""
    age = loinc_quantity("30525-0", 70, "a")
    sex = observation("sex", 0)
    nobody = {"resourceType": "Patient", "id": "p-1", "gender": "other"}
    assert parsed_fields(bundle(nobody, *COMPLETE[1:], age, sex)) == {
        **{name: RECORD[name] for name in FEATURE_NAMES},
        "age": 70,
        "sex": 0,
    }
    assert parsed_fields(bundle(*COMPLETE, loinc_quantity("30525-0", 63, "a"), observation("sex", 1)))["age"] == 63


def test_a_bundle_can_come_in_parameters() -> None:
    """FHIR client libraries call operations this way."""
    parameter = {"name": "resource", "resource": json.loads(bundle(*COMPLETE))}
    body = json.dumps({"resourceType": "Parameters", "parameter": [parameter]}).encode()
    assert parse(body, TODAY) == parse(bundle(*COMPLETE), TODAY)


@pytest.mark.parametrize(
    ("full_url", "identity", "refers", "patient_id"),
    [
        ("https://ehr.example/fhir/Patient/7", "7", "https://ehr.example/fhir/Patient/7", "7"),
        ("https://ehr.example/fhir/Patient/7", "7", "Patient/7", "7"),
        ("urn:uuid:0f5c1c9e-6d0f-4f1e-9a55-0a3f5b3c7a10", None, "urn:uuid:0f5c1c9e-6d0f-4f1e-9a55-0a3f5b3c7a10", None),
        ("urn:uuid:0f5c1c9e-6d0f-4f1e-9a55-0a3f5b3c7a10", "7", "urn:uuid:0f5c1c9e-6d0f-4f1e-9a55-0a3f5b3c7a10", "7"),
        (None, "7", "Patient/7/_history/2", "7"),
    ],
)
def test_a_patient_is_found_by_every_reference(
    full_url: str | None, identity: str | None, refers: str, patient_id: str | None
) -> None:
    """By full URL, by id and by version; the response uses the Observations' reference."""
    person = {"resource": {**patient(RECORD), "id": identity}, "fullUrl": full_url}
    person["resource"] = {name: value for name, value in person["resource"].items() if value is not None}
    person = {name: value for name, value in person.items() if value is not None}
    others = [{"resource": {**part, "subject": {"reference": refers}}} for part in COMPLETE[1:]]
    reading = parse(unchecked(entry=[person, *others]), TODAY)
    assert isinstance(reading, ParsedBundle), reading
    assert (json.loads(reading.record)["patient_id"], reading.subject) == (patient_id or full_url, refers)


def test_other_resources_are_ignored() -> None:
    """An Encounter or a Device changes nothing."""
    assert parsed_fields(unchecked(*COMPLETE, {"resourceType": "Encounter", "status": CANARY})) == parsed_fields(
        unchecked(*COMPLETE)
    )


def test_every_code_is_of_a_field_and_every_field_has_one() -> None:
    """The table of codes covers the 13 fields, each with at least a code of our own system."""
    assert {measure.field for measure in UCI_FHIR.measures if measure.system == OWN} == set(FEATURE_NAMES)
    assert {measure.field for measure in UCI_FHIR.measures} == set(FEATURE_NAMES)
    assert len({(measure.system, measure.code) for measure in UCI_FHIR.measures}) == len(UCI_FHIR.measures)
