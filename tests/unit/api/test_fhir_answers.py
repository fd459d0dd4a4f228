"""Answers of a QuestionnaireResponse are values of fields, by the rules of Observations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from api.protocols.fhir.parse import ParsedBundle, RefusedBundle
from tests.support.fhir_answers import FORM, LATER, coded, item, response
from tests.support.fhir_bundles import (
    CANARY,
    COMPLETE,
    JSON_VALUES,
    TODAY,
    UCI_FHIR,
    Json,
    parse,
    parsed_fields,
    parsed_issues,
    quantity,
    unchecked,
    with_replacement,
)
from tests.support.lenient_bundles import fields, issues, notes, pressure, read

PLACE = f"Bundle.entry[{len(COMPLETE)}].resource"
"""Of a response behind the complete Bundle."""
ASKED = item("cp", coded("cp", "2"))
VALUES: list[tuple[str, Json, float]] = [
    ("cp", coded("cp", "3"), 3),
    ("cp", {"valueInteger": 3}, 3),
    ("exang", {"valueBoolean": True}, 1),
    ("exang", coded("exang", "0"), 0),
    ("chol", {"valueInteger": 201}, 201),
    ("chol", {"valueDecimal": 201.0}, 201),
    ("chol", {"valueQuantity": quantity(5.2, "mmol/L")}, 201),
    ("oldpeak", {"valueDecimal": 1.4}, 1.4),
    ("oldpeak", {"valueInteger": 1}, 1),
    ("oldpeak", {"valueQuantity": quantity(0.14, "mV")}, 1.4),
]


def without(field: str, *parts: Json) -> list[Json]:
    return with_replacement(field, *parts)


@pytest.mark.parametrize(("field", "answer", "expected"), VALUES)
def test_every_type_of_answer_is_read_by_both_readings(field: str, answer: Json, expected: float) -> None:
    """A number is in the unit of the question; a quantity is converted as that of an Observation."""
    parts = without(field, response(item(field, answer)))
    assert fields(read(*parts))[field] == expected
    assert parsed_fields(unchecked(*parts))[field] == expected


@pytest.mark.parametrize(
    ("field", "answer", "code", "element"),
    [
        ("chol", {"valueString": CANARY}, "wrong_type", ".value"),
        ("cp", {"valueString": CANARY}, "wrong_type", ".value"),
        ("cp", {"valueDecimal": 2.0}, "wrong_type", ".value"),
        ("cp", {"valueQuantity": quantity(2, "1")}, "wrong_type", ".value"),
        ("chol", {"valueBoolean": True}, "wrong_type", ".value"),
        ("chol", {"valueDate": "2024-01-01"}, "wrong_type", ".value"),
        ("fbs", {"valueDecimal": 140.0}, "wrong_type", ".value"),
        ("cp", {"valueCoding": {"system": "http://snomed.info/sct", "code": "2"}}, "unsupported_coding", ".value"),
        ("cp", coded("cp", CANARY), "impossible_code", ".value"),
        ("chol", {"valueQuantity": quantity(5, CANARY)}, "unsupported_coding", ".value.code"),
        (
            "chol",
            {"valueQuantity": {**quantity(5, "mg/dL"), "comparator": "<"}},
            "impossible_code",
            ".value.comparator",
        ),
        ("chol", {"valueInteger": 200, "valueString": CANARY}, "duplicate_field", ""),
        ("chol", {"valueInteger": 200, "modifierExtension": [{"url": "urn:x"}]}, "unsupported_coding", ""),
    ],
)
def test_an_answer_that_cannot_be_read_is_an_error(field: str, answer: Json, code: str, element: str) -> None:
    """By either reading, with its FHIRPath, and without its value."""
    parts = without(field, response(item(field, answer)))
    expected = [(code, f"Bundle.entry[{len(parts) - 1}].resource.item[0].answer[0]{element}")]
    assert issues(read(*parts)) == expected
    assert parsed_issues(unchecked(*parts)) == expected


@pytest.mark.parametrize(
    ("items", "place"),
    [
        ([item("cp", coded("cp", "1"), coded("cp", "2"))], "item[0].answer[1]"),
        ([item("cp", coded("cp", "1"), coded("cp", "1"))], "item[0].answer[1]"),
        (
            [item("cp", coded("cp", "1")), {"linkId": "g", "item": [item("cp", coded("cp", "1"))]}],
            "item[1].item[0].answer[0]",
        ),
    ],
)
def test_two_answers_of_a_question_are_refused(items: list[Json], place: str) -> None:
    """Even if they are equal: nobody knows which one was meant to be of another question."""
    expected = [("duplicate_field", f"{PLACE.replace(str(len(COMPLETE)), str(len(COMPLETE) - 1))}.{place}")]
    assert issues(read(*without("cp", response(*items)))) == expected
    assert parsed_issues(unchecked(*without("cp", response(*items)))) == expected


def test_groups_may_be_nested() -> None:
    """Also in answers, however deep; unanswered questions are not values."""
    inner = item("cp", coded("cp", "3"))
    for _ in range(100):
        inner = {"linkId": "group", "item": [inner]}
    outer = item("exang", {"valueBoolean": True, "item": [inner]})
    parts = [each for each in without("cp", response(outer, {"linkId": "thal"})) if each["id"] != "o-exang"]
    assert (fields(read(*parts))["cp"], fields(read(*parts))["exang"]) == (3, 1)
    assert parsed_fields(unchecked(*parts))["cp"] == 3


@pytest.mark.parametrize(
    "outer",
    [
        {"linkId": "g", "item": [{"linkId": "h", "item": [ASKED]}], "modifierExtension": [{"url": "urn:x"}]},
        item("smoker", {"valueBoolean": True, "item": [ASKED], "modifierExtension": [{"url": "urn:x"}]}),
        {**ASKED, "modifierExtension": [{"url": "urn:x"}]},
    ],
)
def test_what_modifies_a_group_modifies_its_answers(outer: Json) -> None:
    """A modifierExtension may change the meaning of all that is inside."""
    reading = read(*without("cp", response(outer)))
    assert [code for code, _ in issues(reading)] == ["unsupported_coding"]


@pytest.mark.parametrize(
    ("authored", "observed", "expected"),
    [
        ("2024-03-20", "2024-03-15", 150),
        ("2024-03-20", "2024-03-25", 120),
        ("2024-03-20T10:00:00Z", "2024-03-20T09:00:00Z", 150),
        ("2024-03-20T08:00:00Z", "2024-03-20T09:00:00Z", 120),
        (None, "2024-03-25", 120),
    ],
)
def test_the_latest_of_answers_and_observations_counts(authored: str | None, observed: str, expected: float) -> None:
    """By `authored` and `effective[x]`; what is passed over is said, and where it is from."""
    answer = response(item("trestbps", {"valueInteger": 150}), authored=authored)
    reading = read(*without("trestbps", pressure(observed, 120), answer))
    assert fields(reading)["trestbps"] == expected
    (passed,) = (each for each in reading.passed_over if each.field == "trestbps")
    assert passed.dates[0].endswith(" (questionnaire response)") == (expected == 120)


def test_what_was_used_says_that_it_is_an_answer() -> None:
    """With its date; the age is that of the day of the answer."""
    reading = read(*without("cp", response(ASKED)))
    said = notes(reading)
    (used,) = (note for note in said if note.startswith("Used: "))
    assert f"cp of {LATER} (questionnaire response, {(TODAY - reading.used[-1].days[0]).days} days old)" in used  # type: ignore[index]
    assert "age is in completed years on the date of the last Observation or answer." in said
    (answer,) = (each for each in reading.used if each.is_answer)
    assert answer.reference == "QuestionnaireResponse/q-1"


def test_an_answer_and_an_observation_of_one_time_must_agree() -> None:
    """Where neither is the latest."""
    parts = without("trestbps", pressure(LATER, 120), response(item("trestbps", {"valueInteger": 150})))
    assert issues(read(*parts)) == [("duplicate_field", f"Bundle.entry[{len(parts) - 1}].resource.item[0].answer[0]")]
    assert fields(read(*without("trestbps", pressure(LATER, 150), parts[-1])))["trestbps"] == 150


@pytest.mark.parametrize(
    ("changed", "reason", "strict"),
    [
        ({"status": "in-progress"}, "as its status is in-progress", ("impossible_code", ".status")),
        ({"status": "stopped"}, "as its status is stopped", ("impossible_code", ".status")),
        ({"status": "entered-in-error"}, "as its status is entered-in-error", ("impossible_code", ".status")),
        ({"status": "final"}, "as its status is missing or invalid", ("impossible_code", ".status")),
        ({"status": None}, "as its status is missing or invalid", ("impossible_code", ".status")),
        (
            {"subject": {"reference": "Patient/p-2"}},
            "as its subject is not the Patient",
            ("impossible_code", ".subject"),
        ),
        (
            {"questionnaire": f"{FORM}|1987"},
            "as it is of another version of the quest",
            ("impossible_code", ".questionnaire"),
        ),
        ({"modifierExtension": [{"url": "urn:x"}]}, "as it has a modifierExtension or", ("unsupported_coding", "")),
        ({"implicitRules": "urn:x"}, "as it has a modifierExtension or", ("unsupported_coding", "")),
        ({"authored": CANARY}, "as its date is invalid", ("wrong_type", ".authored")),
        ({"authored": "2030-01-01"}, "as its date is in the future", ("out_of_range", ".authored")),
    ],
)
def test_responses_that_are_not_valid(changed: Json, reason: str, strict: tuple[str, str]) -> None:
    """The lenient reading passes them over, and says so; the strict one refuses them."""
    parts = [*COMPLETE, response(ASKED, **changed)]
    reading = read(*parts)
    (passed,) = (each for each in reading.passed_over if each.field == "cp")
    assert passed.reason.startswith(reason)
    assert passed.note in notes(reading)
    assert parsed_issues(unchecked(*parts)) == [(strict[0], PLACE + strict[1])]


@pytest.mark.parametrize("status", ["completed", "amended"])
@pytest.mark.parametrize(
    "named", [FORM, f"{FORM}|1988/1", f"http://b{UCI_FHIR.questionnaire_path}", {"reference": FORM}]
)
def test_the_questionnaire_is_known_by_its_path(named: Any, status: str) -> None:
    """A gateway has several names, so whatever its host; STU3 has a reference."""
    parts = without("cp", response(ASKED, questionnaire=named, status=status))
    assert fields(read(*parts))["cp"] == 2
    assert parsed_fields(unchecked(*parts))["cp"] == 2


def test_a_response_without_a_questionnaire_is_not_read() -> None:
    """The same linkIds can mean other things elsewhere: said once by the lenient reading, refused by the strict one."""
    parts = [*COMPLETE, response(ASKED, questionnaire=None), response(ASKED, questionnaire=None, id="q-2")]
    reading = read(*parts)
    note = "A QuestionnaireResponse names no questionnaire, so its answers have no meaning and were not read."
    assert notes(reading).count(note) == 1
    assert reading.other_resources == 2
    assert parsed_issues(unchecked(*parts[:-1])) == [("missing_field", f"{PLACE}.questionnaire")]


@pytest.mark.parametrize("named", ["http://loinc.org/q/44249-1", f"{FORM}-2", "Questionnaire/1"])
def test_responses_to_other_questionnaires_are_other_resources(named: str) -> None:
    """By both readings, whatever their linkIds."""
    parts = [*COMPLETE, response(ASKED, questionnaire=named)]
    assert read(*parts).other_resources == 1
    assert isinstance(parse(unchecked(*parts), TODAY), ParsedBundle)


def test_unknown_questions_are_counted_or_refused() -> None:
    """If they have an answer; by the strict reading, they may be fields under another name."""
    others = [item("smoker", {"valueBoolean": True}), {"linkId": "g", "item": [item(CANARY, {"valueString": CANARY})]}]
    parts = without("cp", response(ASKED, *others, {"linkId": "unanswered"}))
    reading = read(*parts)
    assert reading.other_answers == 2
    assert "Passed over: 2 answers to questions that are not in the questionnaire." in notes(reading)
    place = f"Bundle.entry[{len(parts) - 1}].resource"
    assert parsed_issues(unchecked(*parts)) == [
        ("unknown_field", f"{place}.item[1].linkId"),
        ("unknown_field", f"{place}.item[2].item[0].linkId"),
    ]


def test_all_issues_of_all_responses_are_in_one_answer() -> None:
    """Of answers, and of Observations."""
    bad = response(item("thal", {"valueString": CANARY}), item("cp", coded("cp", "1"), coded("cp", "2")))
    parts = [*COMPLETE[:1], {**pressure(LATER, 1), "valueQuantity": quantity(1, CANARY)}, bad]
    assert sorted(code for code, _ in issues(read(*parts))) == ["duplicate_field", "unsupported_coding", "wrong_type"]


def test_a_response_has_a_limit_of_items() -> None:
    """Each takes time, and a form has as many as the table has fields."""
    most = response(*[{"linkId": "g"}] * 999, ASKED)
    assert fields(read(*without("cp", most)))["cp"] == 2
    parts = [*COMPLETE, response(*[{"linkId": "g"}] * 1_000, ASKED)]
    assert issues(read(*parts)) == [("too_large", f"{PLACE}.item")]
    assert parsed_issues(unchecked(*parts)) == [("too_large", f"{PLACE}.item")]


@given(JSON_VALUES)
def test_any_item_is_read_or_an_issue(value: Any) -> None:
    """No reading fails, and no message has a value or a name of the decoder's types."""
    for part in (response(value), response(item=value), response(questionnaire=value), response(item("cp", value))):
        for result in (read(*COMPLETE, part).result, parse(unchecked(*COMPLETE, part), TODAY)):
            assert isinstance(result, ParsedBundle | RefusedBundle)
            assert "Expected" not in repr(result)
