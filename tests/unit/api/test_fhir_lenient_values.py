"""Bundles as hospitals send them: codes, units and panels, and what is refused before anything is built of it."""

from __future__ import annotations

import json

import pytest
from msgspec import UNSET

from api.protocols.fhir.parse import RefusedBundle
from schemas.fhir.mapping import UCUM
from tests.support.fhir_bundles import (
    BLOOD_PRESSURE,
    CANARY,
    COMPLETE,
    OWN,
    TODAY,
    Json,
    loinc_quantity,
    observation,
    parse,
    quantity,
    unchecked,
    with_changes,
    with_replacement,
)
from tests.support.lenient_bundles import LENIENT, fields, issues, notes, pressure, read, value

FASTED = {"code": {"coding": [{"system": "http://loinc.org", "code": "49541-6"}]}, "valueBoolean": True}
SPECIMEN = {
    "resourceType": "Specimen",
    "id": "s-1",
    "subject": {"reference": "Patient/p-1"},
    "collection": {
        "fastingStatusCodeableConcept": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0916", "code": "F"}]
        }
    },
}


@pytest.mark.parametrize(
    ("number", "unit", "expected"),
    [
        ({"value": 192.4, "code": "mg/dL"}, "chol", 192),
        ({"value": 5.2, "code": "mmol/l"}, "chol", 201),
        ({"value": 5.2, "system": "http://unitsofmeasure.org/", "code": "mmol/L"}, "chol", 201),
        ({"value": 2.01, "code": "g/L"}, "chol", 201),
        ({"value": 201, "unit": "mg/dl"}, "chol", 201),
        ({"value": 120.6, "unit": "mm Hg"}, "trestbps", 121),
        ({"value": 120, "unit": "mmHg"}, "trestbps", 120),
        ({"value": 16, "code": "kPa"}, "trestbps", 120),
        ({"value": 150, "unit": "beats/min"}, "thalach", 150),
        ({"value": 150, "unit": "bpm"}, "thalach", 150),
    ],
)
def test_units_and_decimals_as_systems_send_them(number: Json, unit: str, expected: float) -> None:
    """Rounded or converted with a note; a unit in another case, or as text where the code is missing."""
    field, sent = unit, observation(unit, 1, valueQuantity=number)
    reading = read(*with_replacement(field, sent))
    assert fields(reading)[field] == expected
    said = " ".join(notes(reading))
    assert any(f"{field} was {each}" in said for each in ("rounded", "converted")) == (number["value"] != expected)
    assert (f"The unit of {field} was read from its text" in said) == ("code" not in number)


@pytest.mark.parametrize("sent", [{"value": 5, "code": "mg"}, {"value": 5}, {"value": 5, "unit": CANARY}])
def test_unknown_units_are_refused(sent: Json) -> None:
    """The code decides where there is one."""
    other = observation("chol", 1, valueQuantity={**sent, **({"unit": "mg/dL"} if "code" in sent else {})})
    assert issues(read(*with_replacement("chol", other))) == [
        ("unsupported_coding", "Bundle.entry[11].resource.value.code")
    ]


@pytest.mark.parametrize(
    ("sent", "element"),
    [
        ({"value": 5.2, "code": "mg/dL", "unit": "mmol/L"}, "unit"),
        ({"value": 201, "system": UCUM, "code": "mmol/L", "unit": "mg/dl"}, "unit"),
        ({"value": 5.2, "system": "urn:x", "code": "mmol/L"}, "code"),
        ({"value": 5.2, "system": "urn:x", "code": "mmol/L", "unit": CANARY}, "code"),
    ],
)
def test_a_unit_is_never_guessed(sent: Json, element: str) -> None:
    """Code and text must not contradict each other; codes of other systems than UCUM are not read."""
    other = observation("chol", 1, valueQuantity=sent)
    assert issues(read(*with_replacement("chol", other))) == [
        ("unsupported_coding", f"Bundle.entry[11].resource.value.{element}")
    ]


def test_the_text_counts_where_the_code_is_not_of_ucum() -> None:
    """With a note."""
    sent = observation("chol", 1, valueQuantity={"value": 201, "system": "urn:x", "code": "mmol/L", "unit": "mg/dl"})
    reading = read(*with_replacement("chol", sent))
    assert fields(reading)["chol"] == 201
    assert "The unit of chol was read from its text, as it has no UCUM code." in notes(reading)


@pytest.mark.parametrize("code", ["2339-0", "2345-7", "14749-6"])
def test_glucose_needs_a_statement_of_fasting(code: str) -> None:
    """By a component, or by the Specimen; the strict reading does not know the codes."""
    glucose = {**loinc_quantity(code, 130, "mg/dL"), "effectiveDateTime": "2024-03-15"}
    assert value("fbs", {**glucose, "component": [FASTED]}) == 1
    assert value("fbs", {**glucose, "specimen": {"reference": "Specimen/s-1"}}, SPECIMEN) == 1
    assert value("fbs", glucose, SPECIMEN) is None
    assert value("fbs", {**glucose, "component": [{**FASTED, "valueBoolean": False}]}) is None
    assert isinstance(
        parse(unchecked(*with_replacement("fbs", {**glucose, "component": [FASTED]})), TODAY), RefusedBundle
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"status": "available"}, 1),
        ({"status": "entered-in-error"}, None),
        ({"status": "unsatisfactory"}, None),
        ({"subject": {"reference": "Patient/p-2"}}, None),
        ({"modifierExtension": [{"url": "urn:x"}]}, None),
        ({"implicitRules": "urn:x"}, None),
    ],
)
def test_a_doubtful_specimen_says_nothing_of_fasting(changed: Json, expected: float | None) -> None:
    """Nor does one of somebody else."""
    glucose = {**loinc_quantity("2339-0", 130, "mg/dL"), "specimen": {"reference": "Specimen/s-1"}}
    assert value("fbs", glucose, {**SPECIMEN, **changed}) == expected


@pytest.mark.parametrize("codes", [("2345-7", "1558-6"), ("1558-6", "2345-7")])
def test_a_code_of_fasting_needs_no_other_statement(codes: tuple[str, str]) -> None:
    """Whatever other code of glucose stands beside it."""
    coding = [{"system": "http://loinc.org", "code": code} for code in codes]
    assert value("fbs", {**loinc_quantity("1558-6", 130, "mg/dL"), "code": {"coding": coding}}) == 1


@pytest.mark.parametrize(
    ("panel", "component"),
    [("85354-9", "8480-6"), ("55284-4", "8480-6"), ("55284-4", "8459-0"), ("96607-7", "96608-5")],
)
def test_panels_have_components_of_fields(panel: str, component: str) -> None:
    """By every code that names the same measurement."""
    inner = {
        "code": {"coding": [{"system": "http://loinc.org", "code": component}]},
        "valueQuantity": quantity(151, "mm[Hg]"),
    }
    sent = {**BLOOD_PRESSURE, "code": {"coding": [{"system": "http://loinc.org", "code": panel}]}, "component": [inner]}
    assert value("trestbps", sent) == 151


def test_members_of_a_panel_are_read_by_themselves() -> None:
    """The panel has no value of its own, and is counted."""
    panel = {**BLOOD_PRESSURE, "component": [], "hasMember": [{"reference": "Observation/l-8480-6"}]}
    reading = read(*with_replacement("trestbps", panel, pressure("2024-03-15", 144)))
    assert (fields(reading)["trestbps"], reading.other_observations) == (144, 1)


@pytest.mark.parametrize("second", [{}, {"valueQuantity": quantity(133, "mm[Hg]")}, {"valueQuantity": UNSET}])
def test_two_components_of_one_field_are_refused_by_both_readings(second: Json) -> None:
    """Even if they are equal, or one has no value: one of them is wrong, or another measurement."""
    first = BLOOD_PRESSURE["component"][1]
    other = {name: each for name, each in {**first, **second}.items() if each is not UNSET}
    twice = {**BLOOD_PRESSURE, "component": [first, other]}
    body = unchecked(*with_replacement("trestbps", twice))
    expected = [("duplicate_field", "Bundle.entry[11].resource")]
    assert issues(LENIENT.parse(body, TODAY)) == expected
    strict = parse(body, TODAY)
    assert isinstance(strict, RefusedBundle)
    assert [(str(issue.code), issue.pointer) for issue in strict.issues] == expected


def test_codes_of_different_fields_are_refused() -> None:
    """It is unknown which is meant; one that is not valid does not matter."""
    codes = {"coding": [{"system": OWN, "code": "thal"}, {"system": OWN, "code": "ca"}]}
    assert issues(read(*with_changes("o-thal", code=codes)))[0] == ("unknown_field", "Bundle.entry[11].resource.code")
    for changed in ({"status": "entered-in-error"}, {"subject": {"reference": "Patient/p-2"}}):
        reading = read(*COMPLETE, observation("thal", 3, code=codes, **changed))
        assert (fields(reading)["thal"], reading.other_observations) == (6, 1)


def test_the_size_of_other_observations_does_not_matter() -> None:
    """As that of an electrocardiogram; one of a field is refused."""
    large = {"valueSampledData": {"data": "1 " * 1_100_000}}
    reading = read(*COMPLETE, {**loinc_quantity("11524-6", 1, "mV"), **large})
    assert (len(fields(reading)), reading.other_observations) == (14, 1)
    assert issues(read(*COMPLETE, {**pressure("2024-01-01", 120), **large})) == [
        ("too_large", f"Bundle.entry[{len(COMPLETE)}].resource")
    ]
    codes = {"coding": [{"system": OWN, "code": "x"}] * 11_000}
    assert issues(read(*COMPLETE, observation("thal", 3, code=codes)))[0][0] == "too_large"


@pytest.mark.parametrize(
    ("body", "issue"),
    [
        (b"", ("not_json", "")),
        (b"\xff", ("not_json", "")),
        (b"[" * 100_000, ("not_an_object", "")),
        (b'{"a":' * 100_000, ("not_json", "")),
        (b"<Bundle/>", ("not_json", "")),
        (b"[]", ("not_an_object", "")),
        (json.dumps(COMPLETE[0]).encode(), ("not_an_object", "")),
        (unchecked(*COMPLETE, entry={}), ("wrong_type", "Bundle.entry")),
        (unchecked(*COMPLETE, entry=[0] * 400_000), ("wrong_type", "Bundle.entry[0]")),
        (b'{"resourceType":"Bundle","entry":[' + b"{}," * 200_000 + b"{}]}", ("too_large", "")),
        (
            unchecked(*COMPLETE).replace(b'"value": 145', b'"value": 145, "value": 140'),
            ("duplicate_field", "Bundle.entry[2].resource"),
        ),
        (b'{"resourceType":"Bundle","entry":[],"x":[' + b"0," * 800_001 + b"0]}", ("too_large", "")),
        (unchecked(*with_changes("p-1", photo=[0] * 50_000)), ("too_large", "Bundle.entry[0].resource")),
        (unchecked(*with_changes("p-1", photo="x" * 2_100_000)), ("too_large", "Bundle.entry[0].resource")),
        (unchecked(*COMPLETE, *[COMPLETE[0]] * 3), ("duplicate_field", "Bundle.entry")),
    ],
)
def test_other_bodies_are_rejected(body: bytes, issue: tuple[str, str]) -> None:
    """Before anything large is built of them."""
    assert issues(LENIENT.parse(body, TODAY))[0] == issue


def test_the_number_of_observations_of_fields_is_limited() -> None:
    """Choosing among them is one piece of work; one issue says so."""
    reading = read(*COMPLETE, *[pressure(f"20{year:02}-01-01", 120) for year in range(10)] * 1_001)
    assert issues(reading) == [("too_large", "Bundle.entry")]


def test_the_number_of_issues_is_limited() -> None:
    """An answer of every one of 190,000 would block the event loop; nothing is said of what was not read."""
    found = issues(read(*[1] * 5_000, *COMPLETE))
    assert found == [*(("wrong_type", f"Bundle.entry[{place}].resource") for place in range(1_000)), found[-1]]
    assert found[-1] == ("too_large", "Bundle.entry")
    assert len(issues(read(*COMPLETE, *[1] * 1_000))) == 1_000


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"valueQuantity": "x"}, "must be an object"),
        ({"valueQuantity": {"value": "x"}}, "must be a number"),
        ({"component": {}}, "must be a list"),
        ({"status": 1}, "must be a text"),
        ({"valueBoolean": 1}, "must be true or false"),
        ({"valueInteger": 2**40}, "must be a whole number of 32 bits"),
    ],
)
def test_errors_are_in_plain_words(changed: Json, text: str) -> None:
    """No types of the library."""
    reading = read(*with_changes("o-chol", **changed))
    assert isinstance(reading.result, RefusedBundle)
    assert [issue.message for issue in reading.result.issues] == [text]
