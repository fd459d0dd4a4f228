"""Ambiguous request bodies are refused, never guessed; byte order marks and numeric types are handled strictly."""

from __future__ import annotations

import codecs
import json
from typing import Any

import pytest

from heartstream.demo.patients import real_patients
from heartstream.demo.processes import Child
from scoring.scorer import Scorer
from tests.support.calls import JSON, LINES, PATIENTS, Answer, ask
from tests.support.fhir_bundles import OPERATION
from tests.support.uci import FEATURE_NAMES

CSV = {"Content-Type": "text/csv"}
RECORD = real_patients()[0]
ROW = {name: RECORD[name] for name in FEATURE_NAMES}
TEXT = json.dumps(ROW)
TWICE = TEXT[:-1] + ', "age": 40}'
HEADER, CELLS = ",".join(ROW), ",".join("" if value is None else str(value) for value in ROW.values())


def tensors(**changes: Any) -> list[dict[str, Any]]:
    """Return a row as tensors; a change replaces members of the tensor of that name."""
    return [
        {"name": name, "shape": [1], "datatype": "FP64", "data": [value], **changes.get(name, {})}
        for name, value in ROW.items()
    ]


def infer(gateway: Child, scorer: Scorer, body: str) -> Answer:
    return ask(gateway, "POST", f"/v2/models/{scorer.model.name}/infer", body.encode(), JSON)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, f'{{"instances": [{TWICE}]}}'),
        (JSON, f'{{"dataframe_records": [{TWICE}]}}'),
        (JSON, f'{{"inputs": [{TWICE}]}}'),
        (JSON, f'{{"instances": [{TEXT}], "instances": [{TEXT.replace("63", "40", 1)}]}}'),
        (JSON, f'{{"instances": [{TEXT}], "params": {{"coding": "uci", "coding": "kaggle-303"}}}}'),
        (JSON, f'{{"inputs": {{"age": [63], "a\\u0067e": [40], {", ".join(f"{json.dumps(n)}: [1]" for n in ROW)}}}}}'),
        (JSON, json.dumps({"dataframe_split": {"columns": [*ROW, "age"], "data": [[*ROW.values(), 40]]}})),
        (CSV, f"{HEADER},age\n{CELLS},40\n"),
        (CSV, f"{HEADER},note,note\n{CELLS},,\n"),
    ],
)
def test_a_data_frame_with_duplicate_names_is_refused(gateway: Child, kind: dict[str, str], body: str) -> None:
    """Duplicate keys, columns and headers, at any depth and however escaped, give 400 with `duplicate_field`."""
    found = ask(gateway, "POST", "/invocations", body.encode(), kind)
    assert (found.status, "duplicate_field" in found.json["message"]) == (400, True)


def test_duplicate_tensors_are_refused(gateway: Child, scorer: Scorer) -> None:
    """Duplicate tensor names, and duplicate members within a tensor."""
    good = json.dumps({"inputs": tensors()})
    assert infer(gateway, scorer, good).status == 200
    for body in (
        json.dumps({"inputs": [*tensors(), *tensors()[:1]]}),
        good.replace('"data": [63', '"data": [40], "data": [63', 1),
        good[:-1] + ', "inputs": []}',
        good[:-1] + ', "parameters": {"coding": "uci", "coding": "kaggle-303"}}',
    ):
        found = infer(gateway, scorer, body)
        assert (found.status, "duplicate_field" in found.json["error"]) == (400, True)


@pytest.mark.parametrize(
    ("path", "kind", "body"),
    [
        ("/predict/batch", JSON, b"[" + b",".join(PATIENTS[:3]) + b"]"),
        ("/predict/batch", LINES, b"\n".join(PATIENTS[:3])),
        ("/predict/batch", LINES, b"\n\n" + PATIENTS[0]),
        ("/invocations", JSON, f'{{"instances": [{TEXT}]}}'.encode()),
        ("/invocations", CSV, f"{HEADER}\n{CELLS}\n".encode()),
        (OPERATION, JSON, b'{"resourceType": "Bundle", "type": "collection", "entry": []}'),
    ],
)
def test_a_byte_order_mark_changes_nothing(gateway: Child, path: str, kind: dict[str, str], body: bytes) -> None:
    """The response equals that to the same body without it, for every record."""
    plain, marked = (ask(gateway, "POST", path, each, kind) for each in (body, codecs.BOM_UTF8 + body))
    assert (marked.status, marked.body) == (plain.status, plain.body)


def test_a_byte_order_mark_in_a_record_is_reported(gateway: Child) -> None:
    """As on Kafka a single record with a mark is invalid JSON, and the message mentions the mark."""
    (response,) = ask(gateway, "POST", "/predict", codecs.BOM_UTF8 + PATIENTS[0], JSON).json["errors"]
    assert (response["code"], "byte order mark" in response["message"]) == ("not_json", True)


@pytest.mark.parametrize("kind", ["INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"])
def test_integers_of_every_datatype_are_accepted_and_others_rejected(gateway: Child, scorer: Scorer, kind: str) -> None:
    """63 fits every integer type; 2.3, a string, true and numbers out of range are refused."""
    sent = lambda element: json.dumps({"inputs": tensors(age={"datatype": kind, "data": [element]})})  # noqa: E731
    assert infer(gateway, scorer, sent(63)).body == infer(gateway, scorer, json.dumps({"inputs": tensors()})).body
    largest = 2 ** (int(kind.strip("UINT")) - (not kind.startswith("U")))
    for element in (2.3, "63", True, [63, 64], {}, largest, -largest - 1):
        assert infer(gateway, scorer, sent(element)).status == 400
    response = infer(gateway, scorer, sent(2.3)).json["error"]
    assert response == f"row 0: wrong_type at /age: the element is not a {kind}"


@pytest.mark.parametrize("kind", ["FP16", "FP32", "FP64"])
def test_numbers_of_every_datatype_are_accepted_and_others_rejected(gateway: Child, scorer: Scorer, kind: str) -> None:
    """Numbers and null are accepted; strings, booleans and numbers out of range are not."""
    sent = lambda element: json.dumps({"inputs": tensors(oldpeak={"datatype": kind, "data": [element]})})  # noqa: E731
    assert [infer(gateway, scorer, sent(element)).status for element in (2.3, 2, None)] == [200] * 3
    for element in ("2.3", True, {"a": 1}, 1e6 if kind == "FP16" else 1e39):
        assert infer(gateway, scorer, sent(element)).status == 400


def test_a_row_of_another_length_is_named(gateway: Child) -> None:
    """The error has the row's number, in frames and in CSV."""
    split = json.dumps({"dataframe_split": {"columns": ["age", "sex"], "data": [[1, 2], [1]]}}).encode()
    for kind, body in ((JSON, split), (CSV, b"age,sex\n1,2\n1\n")):
        found = ask(gateway, "POST", "/invocations", body, kind)
        assert (found.status, "row 1: the number of values differs" in found.json["message"]) == (400, True)


def test_the_error_for_lines_sent_as_json_names_their_media_type(gateway: Child) -> None:
    """The error for JSON lines or a single record sent as JSON suggests application/x-ndjson."""
    for body in (b"\n".join(PATIENTS[:2]), PATIENTS[0]):
        found = ask(gateway, "POST", "/predict/batch", body, JSON)
        assert (found.status, "application/x-ndjson" in found.json["detail"]) == (400, True)
