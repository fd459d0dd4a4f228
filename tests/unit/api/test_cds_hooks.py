"""CDS Hooks: the templates of every table's service, the prefetch as a Bundle, and cards that show text as it is."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, urlsplit

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from api.problem_details import ProblemError
from api.protocols.cds_hooks.commonmark import bullets, escaped
from api.protocols.cds_hooks.prefetch import Prefetched, assemble
from schemas.cds_hooks.requests import HookRequest
from schemas.cds_hooks.service import discovery, observed_fields, prefetch_keys
from schemas.fhir.mapping import FhirMapping
from schemas.tables.builtin import UCI_HEART
from schemas.tables.feature_table import FeatureTable
from tests.support.cds_hooks import KEYS, SERVICES_SCHEMA, call, prefetch, searchset
from tests.support.fhir_bundles import COMPLETE, Json, loinc_quantity, patient
from tests.support.lenient_bundles import LENIENT, TODAY, fields
from tests.support.other_tables import NAMES, table

BASE = "https://risk.example.org/hs"
TABLES = [UCI_HEART, *(found for found in map(table, NAMES) if found.fhir is not None)]
ALLOWED = {
    "Observation": {"patient", "code", "_sort", "_count"},
    "QuestionnaireResponse": {"patient", "questionnaire", "_sort", "_count"},
}


@pytest.mark.parametrize("own", TABLES, ids=lambda own: own.name)
def test_the_templates_ask_for_every_code_and_nothing_else(own: FeatureTable) -> None:
    """They use the parameters that the specification recommends, and no other token than the patient's id."""
    mapping = FhirMapping.required(own)
    found = json.loads(msgspec.json.encode(discovery(mapping, BASE, "7 patients")))
    jsonschema.validate(found, SERVICES_SCHEMA)
    (service,) = found["services"]
    templates = service["prefetch"]
    assert (service["id"], tuple(templates)) == (mapping.operation.operation, prefetch_keys(mapping))
    assert {each for text in templates.values() for each in re.findall("{{.*?}}", text)} == {"{{context.patientId}}"}
    assert templates.pop("patient") == "Patient/{{context.patientId}}"
    asked = set()
    for text in templates.values():
        kind, query = urlsplit(text).path, parse_qs(urlsplit(text).query, strict_parsing=True)
        assert set(query) == ALLOWED[kind]
        assert (query["patient"], query["_sort"]) == (
            ["{{context.patientId}}"],
            [f"-{'date' if 'code' in query else 'authored'}"],
        )
        if "code" in query:
            asked |= {tuple(each.split("|")) for each in query["code"][0].split(",")}
        else:
            assert query["questionnaire"] == [f"{BASE}/fhir/Questionnaire/{service['id']}"]
    of_patient = {mapping.operation.age, mapping.operation.gender}
    known = {(each.system, each.code) for each in mapping.measures if each.field not in of_patient}
    assert asked == known | {code for code, parts in mapping.panels.items() if parts & {*observed_fields(mapping)}}


def assembled(found: Json, patient_id: str = "p-1") -> Prefetched:
    called = msgspec.json.decode(json.dumps(call(found)), type=HookRequest)
    return assemble(called.prefetch, KEYS, patient_id)


def test_the_prefetch_is_read_as_the_bundle_of_its_resources() -> None:
    """By the lenient reading; searchsets, single resources and null are all of it, other keys are ignored."""
    found = prefetch(*COMPLETE)
    (chol,) = (each for each in COMPLETE if each["id"] == "o-chol")
    read = assembled({**found, "observations-chol": chol, "unknown": patient({"age": 50, "sex": 1}, id="another")})
    expected = json.dumps(
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in COMPLETE]}
    )
    assert fields(LENIENT.parse(read.bundle, TODAY)) == fields(LENIENT.parse(expected.encode(), TODAY))
    assert (read.unsatisfied, read.incomplete) == ((), ())


def test_a_panel_that_two_searches_found_counts_once() -> None:
    """Each of them has all of it."""
    found = prefetch(*COMPLETE) | {"observations-chol": searchset(NEW), "observations-trestbps": searchset(NEW, OLD)}
    places = assembled(found).places
    assert [
        each for each in places if each.startswith(("prefetch.observations-chol", "prefetch.observations-trestbps"))
    ] == [
        "prefetch.observations-trestbps.entry[0]",
        "prefetch.observations-trestbps.entry[1]",
    ]


def test_what_an_ehr_did_not_send_is_known() -> None:
    """A key that is absent or has an OperationOutcome is unsatisfied, null is not."""
    found = prefetch(*COMPLETE) | {"observations-chol": None, "observations-fbs": {"resourceType": "OperationOutcome"}}
    del found["observations-ca"]
    assert assembled(found).unsatisfied == ("observations-fbs", "observations-ca")


OUTCOME = {"resourceType": "OperationOutcome", "id": "oo", "issue": [{"severity": "error", "code": "timeout"}]}
WARNING = {"resourceType": "OperationOutcome", "id": "oo", "issue": [{"severity": "warning", "code": "processing"}]}
OLD, NEW = (loinc_quantity("2093-3", 200, "mg/dL") | {"effectiveDateTime": f"{year}-01-01"} for year in (2019, 2024))
NEXT = [{"relation": "self", "url": "x"}, {"relation": "next", "url": "y"}]


@pytest.mark.parametrize(
    ("result", "is_incomplete"),
    [
        (searchset(NEW, OUTCOME), True),
        (searchset(NEW, WARNING), False),
        (searchset(NEW, OLD, link=NEXT), False),
        (searchset(OLD, NEW, link=NEXT), True),
        (searchset(OLD, NEW), False),
    ],
    ids=["error", "warning", "first page of the latest", "first page of the oldest", "all, unsorted"],
)
def test_a_search_that_may_lack_the_latest_value_is_known(result: Json, *, is_incomplete: bool) -> None:
    """One with an error, or a page of a result that is not sorted as it was asked for."""
    read = assembled(prefetch(*COMPLETE) | {"observations-chol": result})
    assert read.incomplete == (("observations-chol",) if is_incomplete else ())


def test_a_place_in_the_bundle_is_one_in_the_prefetch() -> None:
    """So that an EHR's engineers find it."""
    read = assembled(prefetch(*COMPLETE) | {"observations-chol": searchset(NEW, OLD)})
    first = read.places.index("prefetch.observations-chol.entry[0]")
    assert [read.place_of(pointer) for pointer in ("Bundle.entry[0].resource.birthDate", "Bundle", "Bundle.type")] == [
        "prefetch.patient.birthDate",
        "",
        "",
    ]
    assert (
        read.place_of(f"Bundle.entry[{first + 1}].resource.code") == "prefetch.observations-chol.entry[1].resource.code"
    )
    assert read.place_of("Bundle.entry[9999].resource") == ""


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (None, 412),
        (OUTCOME, 412),
        (patient({"age": 50, "sex": 1}, id="p-2"), 400),
        (searchset(patient({"age": 50, "sex": 1})), 400),
        ({**NEW, "id": "p-1"}, 400),
        ("Patient/p-1", 400),
        ([], 400),
        ({"resourceType": 7}, 400),
    ],
    ids=["null", "error", "another patient", "search", "no patient", "text", "array", "number"],
)
def test_the_patient_is_the_one_of_the_context(value: object, status: int) -> None:
    """412 if it was not sent, 400 if it is another one: the card would be shown in a wrong record."""
    with pytest.raises(ProblemError) as refused:
        assembled({**prefetch(*COMPLETE), "patient": value})
    assert (refused.value.status, "p-1" in refused.value.detail) == (status, False)


def inline_text(source: str) -> list[str]:
    """Return the text of each item of a list, which has nothing else."""
    tokens = MarkdownIt("commonmark").parse(source)
    assert [each.type for each in tokens[:2]] == ["bullet_list_open", "list_item_open"]
    lines = [each.children or [] for each in tokens if each.type == "inline"]
    assert {child.type for line in lines for child in line} <= {"text", "text_special"}
    return ["".join(child.content for child in line) for line in lines]


@given(
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip), min_size=1, max_size=3)
)
def test_any_text_is_shown_as_it_is(texts: list[str]) -> None:
    """No text becomes a heading, link, image, code, HTML or another list; only blanks are joined."""
    # CommonMark trims the blanks of ASCII alone; after ours are joined, others remain at no end.
    assert inline_text(bullets(map(escaped, texts))) == [" ".join(each.split()) for each in texts]


@pytest.mark.parametrize(
    "text",
    [
        *("# x", "- x", "+ x", "1. x", "2) x", "===", "---", "> x", "    x", "`x`", "*x*", "_x_", "~~x~~", "| a | b |"),
        *(
            "[x](javascript:alert(1))",
            "![x](https://evil.example)",
            "<b>x</b>",
            "<https://evil.example>",
            "&lt;",
            "a\n\n# b",
        ),
        *("\\*", "x\\", "https://evil.example", "www.evil.example", "[ ] x", "[x]: /y", "$x$", "^x^"),
    ],
)
def test_what_looks_like_commonmark_is_text(text: str) -> None:
    """Also what GitHub's dialect makes links of."""
    source = bullets([escaped(text)])
    assert inline_text(source) == [" ".join(text.split())]
    assert re.search(r"://|www\.", source) is None
