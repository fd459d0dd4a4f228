"""Reading FHIR Bundles: what is sent is what is scored, and what is ambiguous is refused with every reason."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.protocols.fhir.dates import ages, days_of
from api.protocols.fhir.operation_outcome import rejected
from api.protocols.fhir.parse import ParsedBundle, parse
from heartstream.demo.patients import real_patients
from schemas.errors import ValidationIssue
from schemas.features import FEATURE_NAMES
from schemas.fhir.mapping import LOINC, MEASURES, OWN
from tests.support.fhir_bundles import DAY, Json, bundle, observation, patient, quantity, resources, unchecked

TODAY = dt.date(2026, 11, 26)
RECORD = real_patients()[0]
WHOLE = resources(RECORD)
AT = {part["id"]: f"Bundle.entry[{place}].resource" for place, part in enumerate(WHOLE)}
CANARY = "Zebedee-4711"


def loinc(code: str, **value: Any) -> Json:
    return {**observation("x", None, **value), "code": {"coding": [{"system": LOINC, "code": code}]}, "id": f"l-{code}"}


def measured(code: str, value: float, unit: str) -> Json:
    found = loinc(code, valueQuantity=quantity(value, unit))
    del found["dataAbsentReason"]
    return found


def instead(field: str, *others: Json) -> list[Json]:
    """The complete Bundle, with other resources in place of a field's."""
    return [*(part for part in WHOLE if part["id"] != f"o-{field}"), *others]


def changed(identity: str, **changes: Any) -> list[Json]:
    """The complete Bundle with members of one resource changed; None removes one."""
    found = []
    for part in WHOLE:
        merged = part | changes if part["id"] == identity else part
        found.append({name: value for name, value in merged.items() if value is not None})
    return found


def told(body: bytes) -> dict[str, float | None]:
    """The fields that a Bundle was read as."""
    reading = parse(body, TODAY)
    assert isinstance(reading, ParsedBundle), reading
    record = json.loads(reading.record)
    assert record.pop("patient_id") == "p-1"
    return record


def wrong(body: bytes) -> list[tuple[str, str]]:
    """Code and place of all that is wrong with a Bundle."""
    issues = parse(body, TODAY)
    assert not isinstance(issues, ParsedBundle), issues
    assert CANARY not in repr(issues)
    return [(str(issue.code), issue.pointer) for issue in issues]


def test_every_real_patient_is_read_as_sent() -> None:
    """All 920, built by the models of `fhir.resources`; missing values stay missing."""
    for record in real_patients():
        assert told(bundle(*resources(record))) == {name: record[name] for name in FEATURE_NAMES}


BLOOD_PRESSURE = {
    **loinc("85354-9"),
    "component": [
        {"code": {"coding": [{"system": LOINC, "code": "8462-4"}]}, "valueQuantity": quantity(90, "mm[Hg]")},
        {"code": {"coding": [{"system": LOINC, "code": "8480-6"}]}, "valueQuantity": quantity(151, "mm[Hg]")},
    ],
}
del BLOOD_PRESSURE["dataAbsentReason"]


@pytest.mark.parametrize(
    ("field", "value", "others"),
    [
        ("trestbps", 151, [BLOOD_PRESSURE]),
        ("chol", 201, [measured("2093-3", 5.2, "mmol/L")]),
        ("chol", 201, [measured("14647-2", 5.2, "mmol/L")]),
        ("chol", 210, [measured("14647-2", 210, "mg/dL")]),
        ("fbs", 0, [measured("1558-6", 120, "mg/dL")]),
        ("fbs", 1, [measured("1558-6", 120.1, "mg/dL")]),
        ("fbs", 0, [measured("14771-0", 6.6, "mmol/L")]),
        ("fbs", 1, [measured("14771-0", 6.7, "mmol/L")]),
        ("oldpeak", 2.3, [observation("oldpeak", 1, valueQuantity=quantity(0.23, "mV"))]),
        ("oldpeak", -1.5, [observation("oldpeak", -1.5)]),
        ("ca", 2, [{**observation("ca", None, valueInteger=2), "dataAbsentReason": None}]),
        ("ca", None, [observation("ca", None)]),
        ("ca", 2, [observation("ca", None), observation("ca", 2, id="again")]),
        ("thal", 7, [observation("thal", 7), observation("thal", 7, id="again")]),
        ("thal", 7, [observation("thal", 7, subject=None, effectiveDateTime=None)]),
    ],
)
def test_what_hospitals_send_is_converted(field: str, value: float | None, others: list[Json]) -> None:
    """Panels, units, raw values and numeric codes; identical duplicates count once."""
    tidy = [{name: found for name, found in part.items() if found is not None} for part in others]
    assert told(bundle(*instead(field, *tidy))) == {
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
    others = [{**part, "effectiveDateTime": when} for part in instead("chol")[1:]]
    assert told(bundle(patient(RECORD, birthDate=born), old, *others))["age"] == age


def test_age_without_dates_is_that_of_today() -> None:
    """It is computed on the day of the assessment, and the response says so."""
    undated = [{name: value for name, value in part.items() if name != "effectiveDateTime"} for part in WHOLE]
    reading = parse(bundle(*undated), TODAY)
    assert isinstance(reading, ParsedBundle)
    assert json.loads(reading.record)["age"] == 65
    assert "age is 65, in completed years on the day of this assessment" in reading.notes[0]


def test_an_observation_can_tell_age_and_sex() -> None:
    """If the Patient has no birth date, or no gender that the model knows."""
    age = measured("30525-0", 70, "a")
    sex = observation("sex", 0)
    nobody = {"resourceType": "Patient", "id": "p-1", "gender": "other"}
    assert told(bundle(nobody, *WHOLE[1:], age, sex)) == {
        **{name: RECORD[name] for name in FEATURE_NAMES},
        "age": 70,
        "sex": 0,
    }
    assert told(bundle(*WHOLE, measured("30525-0", 63, "a"), observation("sex", 1)))["age"] == 63


UNKNOWN = loinc("8867-4")
NUMBER = {"system": "http://unitsofmeasure.org", "code": "mg/dL"}


@pytest.mark.parametrize(
    ("parts", "issues"),
    [
        (WHOLE[1:], [("missing_field", "Bundle.entry")]),
        ([*WHOLE, patient(RECORD)], [("duplicate_field", "Bundle.entry")]),
        (changed("p-1", id=None), [("missing_field", AT["p-1"])]),
        (changed("p-1", gender=None), [("missing_value", AT["p-1"] + ".gender")]),
        (changed("p-1", gender="unknown"), [("missing_value", AT["p-1"] + ".gender")]),
        (changed("p-1", gender=CANARY), [("impossible_code", AT["p-1"] + ".gender")]),
        (changed("p-1", birthDate=None), [("missing_value", AT["p-1"] + ".birthDate")]),
        (changed("p-1", birthDate=CANARY), [("wrong_type", AT["p-1"] + ".birthDate")]),
        (changed("p-1", birthDate="1961-02-30"), [("wrong_type", AT["p-1"] + ".birthDate")]),
        (changed("p-1", birthDate="1961"), [("missing_value", AT["p-1"] + ".birthDate")]),
        (changed("p-1", birthDate="2025-01-01"), [("out_of_range", AT["p-1"] + ".birthDate")]),
        (changed("p-1", birthDate=1961), [("wrong_type", AT["p-1"] + ".birthDate"), ("missing_field", "Bundle.entry")]),
        (changed("p-1", modifierExtension=[{"url": CANARY}]), [("unsupported_coding", AT["p-1"])]),
        ([*WHOLE, UNKNOWN], [("unknown_field", "Bundle.entry[12].resource.code")]),
        (changed("o-thal", code={"text": CANARY}), [("unknown_field", AT["o-thal"] + ".code")]),
        (
            changed("o-thal", code={"coding": [{"system": OWN, "code": "thal"}, {"system": OWN, "code": "ca"}]}),
            [("unknown_field", AT["o-thal"] + ".code")],
        ),
        ([*WHOLE, observation("thal", 7)], [("duplicate_field", "Bundle.entry[12].resource")]),
        (
            [*WHOLE, measured("30525-0", 50, "a"), observation("sex", 0)],
            [("duplicate_field", AT["p-1"] + ".gender"), ("duplicate_field", AT["p-1"] + ".birthDate")],
        ),
        (changed("o-chol", status="preliminary"), [("impossible_code", AT["o-chol"] + ".status")]),
        (changed("o-chol", status="entered-in-error"), [("impossible_code", AT["o-chol"] + ".status")]),
        (
            changed("o-chol", subject={"reference": f"Patient/{CANARY}"}),
            [("impossible_code", AT["o-chol"] + ".subject")],
        ),
        (changed("o-chol", subject={"display": CANARY}), [("impossible_code", AT["o-chol"] + ".subject")]),
        (changed("o-chol", effectiveDateTime=CANARY), [("wrong_type", AT["o-chol"] + ".effective")]),
        (changed("o-chol", effectiveDateTime="2026-11-28"), [("out_of_range", AT["o-chol"] + ".effective")]),
        (changed("o-chol", implicitRules=CANARY), [("unsupported_coding", AT["o-chol"])]),
        (changed("o-chol", modifierExtension=[]), [("unsupported_coding", AT["o-chol"])]),
        (changed("o-chol", valueQuantity=None), [("missing_value", AT["o-chol"])]),
        (changed("o-chol", dataAbsentReason={}), [("duplicate_field", AT["o-chol"])]),
        (changed("o-chol", valueInteger=233), [("duplicate_field", AT["o-chol"])]),
        (changed("o-chol", valueQuantity=None, valueString=CANARY), [("wrong_type", AT["o-chol"] + ".value")]),
        (changed("o-chol", valueQuantity=NUMBER), [("missing_value", AT["o-chol"] + ".value")]),
        (changed("o-chol", valueQuantity={**NUMBER, "value": "233"}), [("wrong_type", AT["o-chol"] + ".value.value")]),
        (changed("o-chol", valueQuantity=quantity(233, "g/L")), [("unsupported_coding", AT["o-chol"] + ".value.code")]),
        (
            changed("o-chol", valueQuantity={"value": 233, "unit": "mg/dL"}),
            [("unsupported_coding", AT["o-chol"] + ".value.code")],
        ),
        (
            changed("o-chol", valueQuantity={**quantity(40, "mg/dL"), "comparator": "<"}),
            [("impossible_code", AT["o-chol"] + ".value.comparator")],
        ),
        (changed("o-chol", valueQuantity=quantity(5.2, "mg/dL")), [("out_of_range", AT["o-chol"])]),
        (changed("o-chol", valueQuantity=quantity(0, "mg/dL")), [("out_of_range", AT["o-chol"])]),
        (changed("o-chol", valueQuantity=quantity(1e308, "mmol/L")), [("out_of_range", AT["o-chol"])]),
        (changed("o-trestbps", valueQuantity=quantity(-9, "mm[Hg]")), [("out_of_range", AT["o-trestbps"])]),
        (instead("fbs", measured("1558-6", 5.5, "mg/dL")), [("out_of_range", "Bundle.entry[11].resource.value")]),
        (instead("cp"), [("missing_value", "Bundle")]),
        (
            changed("o-cp", valueCodeableConcept={"coding": [{"code": "1"}]}),
            [("unsupported_coding", AT["o-cp"] + ".value")],
        ),
        (
            changed("o-cp", valueCodeableConcept={"coding": [{"system": f"{OWN}:cp", "code": CANARY}]}),
            [("impossible_code", AT["o-cp"] + ".value")],
        ),
        (
            changed("o-thal", valueCodeableConcept={"coding": [{"system": f"{OWN}:thal", "code": "2"}]}),
            [("foreign_code", AT["o-thal"])],
        ),
        (changed("o-thal", valueCodeableConcept=None, valueInteger=2**40), [("wrong_type", AT["o-thal"] + ".value")]),
        (changed("o-thal", valueCodeableConcept=None, valueBoolean=True), [("wrong_type", AT["o-thal"] + ".value")]),
        (
            instead("trestbps", {**BLOOD_PRESSURE, "component": []}),
            [("unknown_field", "Bundle.entry[11].resource.code")],
        ),
        ([*WHOLE, CANARY], [("wrong_type", "Bundle.entry[12].resource")]),
        ([*WHOLE, {}], [("missing_field", "Bundle.entry[12].resource.resourceType")]),
        (
            [patient(RECORD, gender="unknown", birthDate="1860-01-01"), UNKNOWN, observation("oldpeak", 23)],
            [
                ("unknown_field", "Bundle.entry[1].resource.code"),
                ("out_of_range", "Bundle.entry[0].resource.birthDate"),
                ("missing_value", "Bundle.entry[0].resource.gender"),
                ("missing_value", "Bundle"),
                ("foreign_code", "Bundle.entry[2].resource"),
            ],
        ),
    ],
)
def test_all_issues_are_reported_without_values(parts: list[Any], issues: list[tuple[str, str]]) -> None:
    """Each by its code and place; nothing that was sent is repeated."""
    found = parse(unchecked(*parts), TODAY)
    if isinstance(found, ParsedBundle):
        # What the mapping lets through, the core refuses.
        from schemas.validation import validate  # noqa: PLC0415

        examined = validate(found.record)
        assert isinstance(examined, tuple)
        found = found.issues_of(examined)
    assert CANARY not in repr(found)
    assert [(str(issue.code), issue.pointer) for issue in found] == issues


@pytest.mark.parametrize(
    ("body", "issue"),
    [
        (b"", ("not_json", "")),
        (b"{", ("not_json", "")),
        (b"\xff", ("not_json", "")),
        (b"[" * 100_000, ("not_json", "")),
        (unchecked(*WHOLE).replace(b"145", b"NaN"), ("not_json", "")),
        (unchecked(*WHOLE).replace(b'"value": 145', b'"value": 145, "value": 140'), ("duplicate_field", "")),
        (unchecked(*WHOLE).replace(b"p-1", b"p-\xed\xa0\x80"), ("not_json", "")),
        (unchecked(*WHOLE).replace(b"p-1", b"p-\\ud800"), ("not_json", "")),
        (b"[]", ("not_an_object", "")),
        (json.dumps(WHOLE[0]).encode(), ("not_an_object", "")),
        (unchecked(*WHOLE, type="batch"), ("impossible_code", "Bundle.type")),
        (unchecked(*WHOLE, entry={}), ("wrong_type", "Bundle.entry")),
        (unchecked(*[{}] * 1001), ("too_large", "Bundle.entry")),
        (b'{"resourceType": "Parameters"}', ("not_an_object", "Parameters")),
    ],
)
def test_other_bodies_are_rejected(body: bytes, issue: tuple[str, str]) -> None:
    """Its structure is checked before its content."""
    assert wrong(body) == [issue]


def test_a_bundle_can_come_in_parameters() -> None:
    """FHIR client libraries call operations this way."""
    parameter = {"name": "resource", "resource": json.loads(bundle(*WHOLE))}
    body = json.dumps({"resourceType": "Parameters", "parameter": [parameter]}).encode()
    assert parse(body, TODAY) == parse(bundle(*WHOLE), TODAY)


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
def test_a_patient_is_found_by_every_name(
    full_url: str | None, identity: str | None, refers: str, patient_id: str | None
) -> None:
    """By full URL, by id and by version; the response uses the Observations' reference."""
    person = {"resource": {**patient(RECORD), "id": identity}, "fullUrl": full_url}
    person["resource"] = {name: value for name, value in person["resource"].items() if value is not None}
    person = {name: value for name, value in person.items() if value is not None}
    others = [{"resource": {**part, "subject": {"reference": refers}}} for part in WHOLE[1:]]
    reading = parse(unchecked(entry=[person, *others]), TODAY)
    assert isinstance(reading, ParsedBundle), reading
    assert (json.loads(reading.record)["patient_id"], reading.subject) == (patient_id or full_url, refers)


def test_other_resources_are_not_read() -> None:
    """An Encounter or a Device changes nothing."""
    assert told(unchecked(*WHOLE, {"resourceType": "Encounter", "status": CANARY})) == told(unchecked(*WHOLE))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_nothing_that_is_sent_makes_it_fail(data: st.DataObject) -> None:
    """With any JSON value in place of any member the Bundle is read or refused with valid issues."""
    part = data.draw(st.integers(0, len(WHOLE) - 1))
    member = data.draw(st.sampled_from([*WHOLE[part], "component", "valueString", "valueInteger", "effectivePeriod"]))
    parts = [*WHOLE]
    parts[part] = {**parts[part], member: data.draw(json_values)}
    found = parse(unchecked(*parts), TODAY)
    if not isinstance(found, ParsedBundle):
        assert all(isinstance(issue, ValidationIssue) for issue in found)
        assert rejected(found).status in {400, 422}


@given(st.dates(max_value=dt.date(2200, 1, 1)), st.dates(max_value=dt.date(2200, 1, 1)))
@example(dt.date(2000, 2, 29), dt.date(2001, 2, 28))
def test_coarse_dates_hold_the_true_age(birth: dt.date, day: dt.date) -> None:
    """The range of ages that a year, a month or a day allows contains the true age; full dates give it exactly."""
    true = next(years for years in range(day.year - birth.year, -2300, -1) if _birthday(birth, years) <= day)
    for length in (4, 7, 10):
        for other in (4, 7, 10):
            known, when = days_of(birth.isoformat()[:length]), days_of(day.isoformat()[:other])
            assert known is not None
            assert when is not None
            low, high = ages(known, when)
            assert low <= true <= high
            assert length < 10 or other < 10 or low == high == true


def _birthday(birth: dt.date, years: int) -> dt.date:
    """Someone born on 29 February has their birthday on 1 March in other years."""
    try:
        return birth.replace(year=birth.year + years)
    except ValueError:
        return dt.date(max(1, birth.year + years), 3, 1)


@pytest.mark.parametrize("text", ["", "24", "2024-13", "2024-02-30", "2024-3-1", "2024-03-15T10:00", DAY + "x", "0000"])
def test_what_is_no_date_is_none(text: str) -> None:
    """Only FHIR's date formats are accepted."""
    assert days_of(text) is None


def test_every_code_is_of_a_field_and_every_field_has_one() -> None:
    """The table of codes covers the 13 fields, each with at least a code of our own system."""
    assert {measure.field for measure in MEASURES if measure.system == OWN} == set(FEATURE_NAMES)
    assert {measure.field for measure in MEASURES} == set(FEATURE_NAMES)
    assert len({(measure.system, measure.code) for measure in MEASURES}) == len(MEASURES)
