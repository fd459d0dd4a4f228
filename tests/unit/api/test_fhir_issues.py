"""What is invalid or ambiguous in a FHIR Bundle is reported completely, without values."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.protocols.fhir.operation_outcome import rejected
from api.protocols.fhir.parse import ParsedBundle, RefusedBundle
from schemas.errors import ValidationIssue
from tests.support.fhir_bundles import (
    BLOOD_PRESSURE,
    CANARY,
    COMPLETE,
    JSON_VALUES,
    OWN,
    RECORD,
    TODAY,
    loinc_observation,
    loinc_quantity,
    observation,
    parse,
    parsed_issues,
    patient,
    quantity,
    unchecked,
    with_changes,
    with_replacement,
)
from tests.support.uci import validate

PATHS = {part["id"]: f"Bundle.entry[{place}].resource" for place, part in enumerate(COMPLETE)}


UNMAPPED = loinc_observation("8867-4")
NUMBER = {"system": "http://unitsofmeasure.org", "code": "mg/dL"}


@pytest.mark.parametrize(
    ("parts", "issues"),
    [
        (COMPLETE[1:], [("missing_field", "Bundle.entry")]),
        ([*COMPLETE, patient(RECORD)], [("duplicate_field", "Bundle.entry")]),
        (with_changes("p-1", id=None), [("missing_field", PATHS["p-1"])]),
        (with_changes("p-1", gender=None), [("missing_value", PATHS["p-1"] + ".gender")]),
        (with_changes("p-1", gender="unknown"), [("missing_value", PATHS["p-1"] + ".gender")]),
        (with_changes("p-1", gender=CANARY), [("impossible_code", PATHS["p-1"] + ".gender")]),
        (with_changes("p-1", birthDate=None), [("missing_value", PATHS["p-1"] + ".birthDate")]),
        (with_changes("p-1", birthDate=CANARY), [("wrong_type", PATHS["p-1"] + ".birthDate")]),
        (with_changes("p-1", birthDate="1961-02-30"), [("wrong_type", PATHS["p-1"] + ".birthDate")]),
        (with_changes("p-1", birthDate="1961"), [("missing_value", PATHS["p-1"] + ".birthDate")]),
        (with_changes("p-1", birthDate="2025-01-01"), [("out_of_range", PATHS["p-1"] + ".birthDate")]),
        (
            with_changes("p-1", birthDate=1961),
            [("wrong_type", PATHS["p-1"] + ".birthDate"), ("missing_field", "Bundle.entry")],
        ),
        (with_changes("p-1", modifierExtension=[{"url": CANARY}]), [("unsupported_coding", PATHS["p-1"])]),
        ([*COMPLETE, UNMAPPED], [("unknown_field", "Bundle.entry[12].resource.code")]),
        (with_changes("o-thal", code={"text": CANARY}), [("unknown_field", PATHS["o-thal"] + ".code")]),
        (
            with_changes("o-thal", code={"coding": [{"system": OWN, "code": "thal"}, {"system": OWN, "code": "ca"}]}),
            [("unknown_field", PATHS["o-thal"] + ".code")],
        ),
        ([*COMPLETE, observation("thal", 7)], [("duplicate_field", "Bundle.entry[12].resource")]),
        (
            [*COMPLETE, loinc_quantity("30525-0", 50, "a"), observation("sex", 0)],
            [("duplicate_field", PATHS["p-1"] + ".gender"), ("duplicate_field", PATHS["p-1"] + ".birthDate")],
        ),
        (with_changes("o-chol", status="preliminary"), [("impossible_code", PATHS["o-chol"] + ".status")]),
        (with_changes("o-chol", status="entered-in-error"), [("impossible_code", PATHS["o-chol"] + ".status")]),
        (
            with_changes("o-chol", subject={"reference": f"Patient/{CANARY}"}),
            [("impossible_code", PATHS["o-chol"] + ".subject")],
        ),
        (with_changes("o-chol", subject={"display": CANARY}), [("impossible_code", PATHS["o-chol"] + ".subject")]),
        (with_changes("o-chol", effectiveDateTime=CANARY), [("wrong_type", PATHS["o-chol"] + ".effective")]),
        (with_changes("o-chol", effectiveDateTime="2026-11-28"), [("out_of_range", PATHS["o-chol"] + ".effective")]),
        (with_changes("o-chol", implicitRules=CANARY), [("unsupported_coding", PATHS["o-chol"])]),
        (with_changes("o-chol", modifierExtension=[]), [("unsupported_coding", PATHS["o-chol"])]),
        (with_changes("o-chol", valueQuantity=None), [("missing_value", PATHS["o-chol"])]),
        (with_changes("o-chol", dataAbsentReason={}), [("duplicate_field", PATHS["o-chol"])]),
        (with_changes("o-chol", valueInteger=233), [("duplicate_field", PATHS["o-chol"])]),
        (with_changes("o-chol", valueQuantity=None, valueString=CANARY), [("wrong_type", PATHS["o-chol"] + ".value")]),
        (with_changes("o-chol", valueQuantity=NUMBER), [("missing_value", PATHS["o-chol"] + ".value")]),
        (
            with_changes("o-chol", valueQuantity={**NUMBER, "value": "233"}),
            [("wrong_type", PATHS["o-chol"] + ".value.value")],
        ),
        (
            with_changes("o-chol", valueQuantity=quantity(233, "g/L")),
            [("unsupported_coding", PATHS["o-chol"] + ".value.code")],
        ),
        (
            with_changes("o-chol", valueQuantity={"value": 233, "unit": "mg/dL"}),
            [("unsupported_coding", PATHS["o-chol"] + ".value.code")],
        ),
        (
            with_changes("o-chol", valueQuantity={**quantity(40, "mg/dL"), "comparator": "<"}),
            [("impossible_code", PATHS["o-chol"] + ".value.comparator")],
        ),
        (with_changes("o-chol", valueQuantity=quantity(5.2, "mg/dL")), [("out_of_range", PATHS["o-chol"])]),
        (with_changes("o-chol", valueQuantity=quantity(0, "mg/dL")), [("out_of_range", PATHS["o-chol"])]),
        (with_changes("o-chol", valueQuantity=quantity(1e308, "mmol/L")), [("out_of_range", PATHS["o-chol"])]),
        (with_changes("o-trestbps", valueQuantity=quantity(-9, "mm[Hg]")), [("out_of_range", PATHS["o-trestbps"])]),
        (
            with_replacement("fbs", loinc_quantity("1558-6", 5.5, "mg/dL")),
            [("out_of_range", "Bundle.entry[11].resource.value")],
        ),
        (with_replacement("cp"), [("missing_value", "Bundle")]),
        (
            with_changes("o-cp", valueCodeableConcept={"coding": [{"code": "1"}]}),
            [("unsupported_coding", PATHS["o-cp"] + ".value")],
        ),
        (
            with_changes("o-cp", valueCodeableConcept={"coding": [{"system": f"{OWN}:cp", "code": CANARY}]}),
            [("impossible_code", PATHS["o-cp"] + ".value")],
        ),
        (
            with_changes("o-thal", valueCodeableConcept={"coding": [{"system": f"{OWN}:thal", "code": "2"}]}),
            [("foreign_code", PATHS["o-thal"])],
        ),
        (
            with_changes("o-thal", valueCodeableConcept=None, valueInteger=2**40),
            [("wrong_type", PATHS["o-thal"] + ".value")],
        ),
        (
            with_changes("o-thal", valueCodeableConcept=None, valueBoolean=True),
            [("wrong_type", PATHS["o-thal"] + ".value")],
        ),
        (
            with_replacement("trestbps", {**BLOOD_PRESSURE, "component": []}),
            [("unknown_field", "Bundle.entry[11].resource.code")],
        ),
        ([*COMPLETE, CANARY], [("wrong_type", "Bundle.entry[12].resource")]),
        ([*COMPLETE, {}], [("missing_field", "Bundle.entry[12].resource.resourceType")]),
        (
            [patient(RECORD, gender="unknown", birthDate="1860-01-01"), UNMAPPED, observation("oldpeak", 23)],
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
    reading = parse(unchecked(*parts), TODAY)
    if isinstance(reading, ParsedBundle):
        # What the mapping lets through, the core refuses.
        validated = validate(reading.record)
        assert isinstance(validated, tuple)
        found = reading.issues_of(validated)
    else:
        found = reading.issues
    assert CANARY not in repr(found)
    assert [(str(issue.code), issue.pointer) for issue in found] == issues


@pytest.mark.parametrize(
    ("body", "issue"),
    [
        (b"", ("not_json", "")),
        (b"{", ("not_json", "")),
        (b"\xff", ("not_json", "")),
        (b"[" * 100_000, ("not_json", "")),
        (unchecked(*COMPLETE).replace(b"145", b"NaN"), ("not_json", "")),
        (unchecked(*COMPLETE).replace(b'"value": 145', b'"value": 145, "value": 140'), ("duplicate_field", "")),
        (unchecked(*COMPLETE).replace(b"p-1", b"p-\xed\xa0\x80"), ("not_json", "")),
        (unchecked(*COMPLETE).replace(b"p-1", b"p-\\ud800"), ("not_json", "")),
        (b"[]", ("not_an_object", "")),
        (json.dumps(COMPLETE[0]).encode(), ("not_an_object", "")),
        (unchecked(*COMPLETE, type="batch"), ("impossible_code", "Bundle.type")),
        (unchecked(*COMPLETE, entry={}), ("wrong_type", "Bundle.entry")),
        (unchecked(*[{}] * 1001), ("too_large", "Bundle.entry")),
        (b'{"resourceType": "Parameters"}', ("not_an_object", "Parameters")),
    ],
)
def test_other_bodies_are_rejected(body: bytes, issue: tuple[str, str]) -> None:
    """Its structure is checked before its content."""
    assert parsed_issues(body) == [issue]


@given(st.data())
def test_no_input_causes_an_error(data: st.DataObject) -> None:
    """With any JSON value in place of any member the Bundle is read or refused with valid issues."""
    part = data.draw(st.integers(0, len(COMPLETE) - 1))
    member = data.draw(
        st.sampled_from([*COMPLETE[part], "component", "valueString", "valueInteger", "effectivePeriod"])
    )
    parts = [*COMPLETE]
    parts[part] = {**parts[part], member: data.draw(JSON_VALUES)}
    found = parse(unchecked(*parts), TODAY)
    if isinstance(found, RefusedBundle):
        assert all(isinstance(issue, ValidationIssue) for issue in found.issues)
        assert rejected(found.issues).status in {400, 422}
