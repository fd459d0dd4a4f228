"""Bundles as hospitals send them: the latest valid Observation is used, and all that is passed over is said."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.protocols.fhir.lenient import LenientParser
from api.protocols.fhir.parse import ParsedBundle, RefusedBundle
from tests.support.fhir_bundles import (
    CANARY,
    COMPLETE,
    JSON_VALUES,
    RECORD,
    TODAY,
    UCI_FHIR,
    Json,
    loinc_quantity,
    observation,
    parse,
    patient,
    quantity,
    unchecked,
    with_changes,
    with_replacement,
)
from tests.support.lenient_bundles import LENIENT, fields, issues, notes, pressure, read, value
from tests.support.uci import UCI


def test_what_the_strict_reading_accepts_is_the_same_record() -> None:
    """The default reading gives no other record where the strict one gives one."""
    body = unchecked(*COMPLETE)
    strict = parse(body, TODAY)
    assert isinstance(strict, ParsedBundle)
    assert fields(LENIENT.parse(body, TODAY)) == json.loads(strict.record)


@pytest.mark.parametrize("kind", ["collection", "searchset", "transaction", "batch", "document", "message"])
def test_bundles_of_every_sensible_type_are_read(kind: str) -> None:
    """With any number of other resources, which are counted."""
    others = [{"resourceType": "Claim", "status": CANARY}] * 2_000
    reading = read(*COMPLETE, *others, loinc_quantity("8867-4", 71, "/min"), type=kind)
    assert fields(reading) == {**RECORD, "patient_id": "p-1"}
    assert (reading.other_resources, reading.other_observations) == (2_000, 1)
    assert "Passed over: 1 Observations of other codes, 2000 other resources." in notes(reading)


@pytest.mark.parametrize("kind", ["history", "transaction-response", "", CANARY])
def test_other_types_are_refused_with_all_other_issues(kind: str) -> None:
    """In one answer."""
    reading = read(*with_changes("p-1", gender=CANARY), type=kind)
    assert issues(reading) == [
        ("impossible_code", "Bundle.type"),
        ("impossible_code", "Bundle.entry[0].resource.gender"),
    ]


@pytest.mark.parametrize(
    ("dates", "latest"),
    [
        (["2023-05-01", "2024-03-15", "2022-01-01"], 1),
        (["2024-03-15T10:00:00+02:00", "2024-03-15T09:00:00Z"], 1),
        (["2023", "2024-03", "2022-12-31"], 1),
        ([None, "2001-01-01"], 1),
        (["2024-03-14", "2024-03-15"], 1),
        (["2024-03-14", "2024-03-15T12:00:00Z"], 1),
        (["2024-03-14T10:00:00Z", "2024-03-16"], 1),
        (["2024-03-15T09:00:00", "2024-03-15T10:00:00", "2024-03-13T10:00:00Z"], 1),
    ],
)
def test_the_latest_is_used(dates: list[str | None], latest: int) -> None:
    """Whatever their order and precision; one without a date is never preferred to one with a date."""
    parts = [pressure(when, 120 + place) for place, when in enumerate(dates)]
    reading = read(*with_replacement("trestbps", *parts))
    assert fields(reading)["trestbps"] == 120 + latest
    assert sum(len(each.dates) for each in reading.passed_over) == len(dates) - 1


@pytest.mark.parametrize(
    "dates",
    [
        ("2024-03-15", "2024-03-15"),
        ("2024", "2024-03-15"),
        ("2024-03-15T08:00:00Z", "2024-03-15"),
        ("2024-03-14", "2024-03-15T11:00:00Z"),
        ("2024-03-14T11:00:00Z", "2024-03-15"),
        ("2024-03-15T10:00:00", "2024-03-15T21:00:00Z"),
        (None, None),
    ],
)
def test_contradictions_without_a_latest_are_refused(dates: tuple[str | None, str | None]) -> None:
    """Equal values count once, as in the strict reading."""
    differ = with_replacement("trestbps", pressure(dates[0], 120), pressure(dates[1], 121))
    assert issues(read(*differ)) == [("duplicate_field", "Bundle.entry[12].resource")]
    assert value("trestbps", pressure(dates[0], 120), pressure(dates[1], 120)) == 120


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"status": "entered-in-error"}, "as its status is entered-in-error"),
        ({"status": "preliminary"}, "as its status is preliminary"),
        ({"status": CANARY}, "as its status is missing or invalid"),
        ({"status": None}, "as its status is missing or invalid"),
        ({"focus": [{"reference": "Patient/p-2"}]}, "as it is about its focus, not about the Patient"),
        ({"subject": {"reference": "Patient/p-2"}}, "as its subject is not the Patient of the Bundle"),
        ({"subject": {"display": CANARY}}, "as its subject is not the Patient of the Bundle"),
        ({"modifierExtension": [{"url": "urn:x"}]}, "as it has a modifierExtension or implicitRules, which may change"),
        ({"implicitRules": "urn:x"}, "as it has a modifierExtension or implicitRules, which may change its meaning"),
        ({"effectiveDateTime": "2030-01-01"}, "as its date is in the future"),
        ({"effectiveDateTime": CANARY}, "as its date is invalid"),
        ({"effectiveInstant": "2024-04-01T00:00:00Z"}, "as its date is invalid"),
        ({"effectivePeriod": {"start": "2024-04-01"}}, "as its date is invalid"),
        ({"effectiveDateTime": None, "effectiveTiming": {"event": ["2024-04-01"]}}, "as its date is invalid"),
        ({"valueQuantity": None}, "as it has no value"),
        ({"valueQuantity": None, "dataAbsentReason": {"text": CANARY}}, "as it has no value"),
    ],
)
def test_what_is_not_valid_is_passed_over_and_said(changed: Json, reason: str) -> None:
    """The latest that is valid takes its place; the note has the date, and nothing else that was sent."""
    doubtful = pressure("2024-04-01", 180, **changed)
    reading = read(*with_replacement("trestbps", pressure("2020-04-01", 131), doubtful))
    assert fields(reading)["trestbps"] == 131
    (passed,) = (each for each in reading.passed_over if each.field == "trestbps")
    assert passed.reason.startswith(reason)
    assert passed.note in notes(reading)


@pytest.mark.parametrize(
    ("of_patient", "of_observation", "is_same"),
    [
        ("http://a/fhir/Patient/p-1", "http://a/fhir/Observation/1", True),
        ("http://a/fhir/Patient/p-1/_history/2", "http://a/fhir/Observation/1/_history/3", True),
        ("http://a/fhir/Patient/p-1", "http://b/fhir/Observation/1", False),
        ("http://a/fhir/Patient/p-1", "urn:uuid:0", True),
        ("urn:uuid:0", "http://b/fhir/Observation/1", True),
    ],
)
def test_a_relative_reference_is_to_the_server_of_its_resource(
    of_patient: str, of_observation: str, *, is_same: bool
) -> None:
    """By either reading: the patient of the same id on another server is somebody else."""
    entries = [{"resource": each} for each in COMPLETE]
    entries[0]["fullUrl"], entries[1]["fullUrl"] = of_patient, of_observation
    body = unchecked(entry=entries)
    field = COMPLETE[1]["id"].removeprefix("o-")
    passed = [each.field for each in LENIENT.parse(body, TODAY).passed_over]
    assert passed == ([] if is_same else [field])
    strict = parse(body, TODAY)
    pointers = [issue.pointer for issue in strict.issues] if isinstance(strict, RefusedBundle) else []
    assert ("Bundle.entry[1].resource.subject" in pointers) != is_same


def test_the_latest_that_cannot_be_read_is_an_error() -> None:
    """An older value would be wrong without anybody noticing; unreadable older ones do not matter."""
    unknown = pressure("2024-04-01", 1, valueQuantity=quantity(1, CANARY))
    exact, below = pressure("2020-04-01", 131), {**quantity(40, "mm[Hg]"), "comparator": "<"}
    place = "Bundle.entry[12].resource.value"
    assert issues(read(*with_replacement("trestbps", exact, unknown))) == [("unsupported_coding", f"{place}.code")]
    censored = pressure("2024-04-01", 1, valueQuantity=below)
    assert issues(read(*with_replacement("trestbps", exact, censored))) == [("impossible_code", f"{place}.comparator")]
    assert value("trestbps", pressure("2024-05-01", 127), unknown) == 127


@pytest.mark.parametrize(
    ("changed", "element"),
    [
        ({"active": False}, "active"),
        ({"deceasedBoolean": True}, "deceased"),
        ({"deceasedDateTime": "2024-08-08"}, "deceased"),
        ({"_deceasedDateTime": {"extension": [{"url": "urn:x", "valueCode": "unknown"}]}}, "deceased"),
        ({"link": [{"type": "replaced-by", "other": {"reference": "Patient/p-2"}}]}, "link"),
    ],
)
def test_some_patients_are_not_scored(changed: Json, element: str) -> None:
    """By either reading; all issues are said."""
    body = unchecked(*with_changes("p-1", gender=CANARY, **changed))
    place = "Bundle.entry[0].resource"
    expected = [("impossible_code", f"{place}.{element}"), ("impossible_code", f"{place}.gender")]
    assert issues(LENIENT.parse(body, TODAY)) == expected
    strict = parse(body, TODAY)
    assert isinstance(strict, RefusedBundle)
    assert [(str(issue.code), issue.pointer) for issue in strict.issues] == expected


def test_a_living_patient_in_use_is_scored() -> None:
    """With the same elements, and a link to a record that this one replaces."""
    link = [{"type": "replaces", "other": {"reference": "Patient/p-2"}}]
    assert fields(read(*with_changes("p-1", active=True, deceasedBoolean=False, link=link)))


def test_lookback_bounds_the_age_of_what_is_used() -> None:
    """In days before today; what has no date is not known to be younger."""
    own = LenientParser(UCI_FHIR, UCI.records, lookback_days=1_000)
    recent = pressure("2026-01-01", 120)
    body = unchecked(*with_replacement("trestbps", pressure("2020-01-01", 150), pressure(None, 160), recent))
    reading = own.parse(body, TODAY)
    assert fields(reading)["trestbps"] == 120
    found = {each.reason: each.dates for each in reading.passed_over if each.field == "trestbps"}
    assert found == {"as it is older than 1000 days": ("2020-01-01",), "as its age is unknown": ("without a date",)}


def test_a_note_says_how_old_the_values_are() -> None:
    """For all fields whose Observations have dates."""
    reading = read(patient(RECORD), observation("cp", 1), pressure("2025-04", 120))
    assert isinstance(reading.result, ParsedBundle)
    used = "Used: cp of 2024-03-15 (986 days old), trestbps of 2025-04-01 to 2025-04-30 (575 days old)."
    assert used in reading.result.notes


def test_the_age_is_that_at_the_last_observation_used() -> None:
    """Not of one that is passed over; an old Observation of the age is only compared with the date of birth."""
    old = {**loinc_quantity("30525-0", 59.4, "a"), "effectiveDateTime": "2020-06-01"}
    later = pressure("2026-01-01", 120, status="cancelled")
    reading = read(*COMPLETE, old, later)
    assert fields(reading)["age"] == 63
    assert "age is in completed years on the date of the last Observation." in notes(reading)
    assert issues(read(*COMPLETE, {**old, "valueQuantity": quantity(40, "a")})) == [
        ("duplicate_field", "Bundle.entry[0].resource.birthDate")
    ]
    nobody = {"resourceType": "Patient", "id": "p-1", "gender": "male"}
    assert fields(read(nobody, *COMPLETE[1:], {**old, "valueQuantity": {"value": 59.9, "unit": "years"}}))["age"] == 59


@pytest.mark.parametrize(("element", "version"), [("context", "STU3"), ("related", "STU3"), ("triggeredBy", "R5")])
def test_other_versions_are_read_and_said(element: str, version: str) -> None:
    """If an element shows it."""
    reading = read(*with_changes("o-chol", **{element: {}}))
    assert f"Some Observations have elements of FHIR {version}" in " ".join(notes(reading))


def test_a_page_of_a_search_is_said() -> None:
    """Newer Observations may be on the next."""
    reading = read(*COMPLETE, type="searchset", link=[{"relation": "self"}, {"relation": "next"}])
    assert "one page of a search" in " ".join(notes(reading))


@given(st.data())
def test_no_input_causes_an_error(data: st.DataObject) -> None:
    """With any JSON value in place of any member the Bundle is read or refused."""
    part = data.draw(st.integers(0, len(COMPLETE) - 1))
    members = ["component", "effectivePeriod", "specimen", "focus", "link", "deceasedBoolean", "subject", "meta"]
    member = data.draw(st.sampled_from([*COMPLETE[part], *members]))
    parts: list[Any] = [*COMPLETE]
    parts[part] = {**parts[part], member: data.draw(JSON_VALUES)}
    assert isinstance(read(*parts).result, ParsedBundle | RefusedBundle)


@given(st.lists(st.dates(dt.date(2000, 1, 1), dt.date(2024, 3, 15)), min_size=1, max_size=6, unique=True))
def test_the_order_of_observations_does_not_matter(days: list[dt.date]) -> None:
    """The value of the last day is used."""
    parts = [pressure(day.isoformat(), 100 + place) for place, day in enumerate(days)]
    assert value("trestbps", *parts) == 100 + days.index(max(days))
