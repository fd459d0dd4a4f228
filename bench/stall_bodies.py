"""Request bodies that would block an event loop if nothing limited the work on them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from heartstream.demo.patients import real_patients

_MANY: Final = 2_500
_LARGEST: Final = 8_388_608
_RECORD: Final = 65_536
_FHIR: Final = 262_144
_FHIR_LARGEST: Final = 10_485_760
_FHIR_OBJECTS: Final = 199_999
JSON: Final = "application/json"
LINES: Final = "application/x-ndjson"
CSV: Final = "text/csv"
FHIR: Final = "application/fhir+json"


class Body(msgspec.Struct, frozen=True):
    """What is sent: a body and what it is said to be."""

    name: str
    kind: str
    content: bytes
    encoding: str = ""
    chunk_bytes: int = 0


def filled(head: bytes, unit: bytes, tail: bytes, size: int, most: int = 10**9) -> bytes:
    """Return as many units, with commas, as fit a size."""
    count = min(most, (size - len(head) - len(tail)) // (len(unit) + 1))
    return head + b",".join([unit] * count) + tail


def bodies() -> Iterator[Body]:
    """Yield what holds an event loop where nothing is done about it, each as large as its route takes it."""
    good = json.dumps(real_patients()[0]).encode()
    bad = json.dumps({name: "" if name == "patient_id" else -777 for name in real_patients()[0]}).encode()
    slow = filled(b'{"a":[', b"{}", b"]}", _RECORD)
    yield from _arrays(good, bad, slow)
    yield from _frames(bad)
    yield from _tensors(good, bad)
    yield from _lines(bad, slow)
    yield from _bundles()


def _arrays(good: bytes, bad: bytes, slow: bytes) -> Iterator[Body]:
    units = {"good records": good, "bad records": bad, "empty objects": b"{}", "zeros": b"0", "slow records": slow}
    for name, unit in units.items():
        for most in (_MANY, 10**9):
            yield Body(f"array of {name}, {most}", JSON, filled(b"[", unit, b"]", _LARGEST, most))
    keys = b",".join(b'"%d":1' % number for number in range(_MANY * 15))
    yield Body("names", JSON, b"[{" + keys + b"}]")
    yield Body("one string", JSON, b'["' + b"\\u0041" * (_LARGEST // 6 - 2) + b'"]')
    yield Body("spaces", JSON, b"[" + b" " * (_LARGEST - 3) + b"0]")
    for size in (1, 100):
        yield Body(f"chunks of {size}", JSON, b"[" * 300_000, chunk_bytes=size)
    yield Body("depth", JSON, b"[" * 900 + b"1" + b"]" * 900)
    yield Body("one slow record", JSON, slow)
    yield Body("brackets", JSON, b"[]" * (_RECORD // 2))


def _frames(bad: bytes) -> Iterator[Body]:
    frame = b'{"instances":['
    for name, unit in {"bad rows": bad, "empty rows": b"{}", "small rows": b'{"a":1}'}.items():
        for most in (_MANY, 10**9):
            yield Body(f"frame of {name}, {most}", JSON, filled(frame, unit, b"]}", _LARGEST, most))
    values = json.loads(bad)
    columns, row = json.dumps(list(values)).encode(), json.dumps(list(values.values())).encode()
    split = b'{"dataframe_split":{"columns":' + columns + b',"data":['
    yield Body("split", JSON, filled(split, row, b"]}}", _LARGEST, _MANY))
    header = ",".join(values).encode() + b"\n"
    yield Body("csv", CSV, header + (b",".join([b"-777"] * len(values)) + b"\n") * _MANY)
    yield Body("csv of line feeds", CSV, b"\r" * _LARGEST)
    yield Body("csv of commas", CSV, (b"," * (_MANY * 15) + b"\n") * 2)
    yield Body("csv of one cell", CSV, header + b'"' + b"\n" * (_MANY * 30) + b'"\n')


def _tensors(good: bytes, bad: bytes) -> Iterator[Body]:
    def tensor(name: str, kind: str, data: bytes, count: int) -> bytes:
        return b'{"name":"%b","shape":[%d],"datatype":"%b","data":[%b]}' % (name.encode(), count, kind.encode(), data)

    def infer(*tensors: bytes, more: bytes = b"") -> bytes:
        return b'{"inputs":[' + b",".join(tensors) + b"]" + more + b"}"

    for depth, unit in {2: b"[[1]]", 900: b"1"}.items():
        data = filled(b"[" * depth, unit, b"]" * depth, 1_000_000, _MANY * 15)
        yield Body(f"tensor, {depth} deep", JSON, infer(tensor("age", "FP64", data, 500_000)))
    fields = [name for name in json.loads(bad) if name != "patient_id"]
    minus = b",".join([b"-777"] * _MANY)
    yield Body("tensors of bad fields", JSON, infer(*(tensor(name, "FP64", minus, _MANY) for name in fields)))
    coding = b',"parameters":{"coding":"' + b"x" * 4_000_000 + b'"}'
    yield Body("a long coding", JSON, infer(tensor("age", "FP64", minus, _MANY), more=coding))
    for name, record in {"good": good, "bad": bad}.items():
        data = b",".join([json.dumps(record.decode()).encode()] * _MANY)
        yield Body(f"tensor of {name} records", JSON, infer(tensor("record", "BYTES", data, _MANY)))
    wanted = b',"outputs":[' + b",".join([b'{"name":"score"}'] * 5_000) + b"]"
    few = b",".join([json.dumps(good.decode()).encode()] * 100)
    yield Body("outputs", JSON, infer(tensor("record", "BYTES", few, 100), more=wanted))


def _lines(bad: bytes, slow: bytes) -> Iterator[Body]:
    yield Body("newlines", LINES, b"\n" * _LARGEST)
    yield Body("newlines, gzip", LINES, gzip.compress(b"\n" * (4 * _LARGEST)), "gzip")
    for name, line in {"bad lines": bad, "empty objects": b"{}", "slow lines": slow}.items():
        yield Body(name, LINES, (line + b"\n") * min(20_000, 2_000_000 // len(line)))
    yield Body("one line", LINES, b"x" * _LARGEST)


def _bundles() -> Iterator[Body]:
    head = b'{"resourceType":"Bundle","type":"collection","entry":['
    coding = {"coding": [{"system": "http://loinc.org", "code": "2093-3"}]}
    quantity = {"value": 200, "system": "http://unitsofmeasure.org", "code": "mg/dL"}
    observation: dict[str, Any] = {"resourceType": "Observation", "status": "final", "code": coding}
    answered = [{"linkId": "cp", "answer": [{"valueInteger": 1}]}] * 20
    form = "https://a.example/fhir/Questionnaire/heart-disease-risk"
    response = {"resourceType": "QuestionnaireResponse", "status": "completed", "questionnaire": form}
    entries: Mapping[str, object] = {
        "responses": {"resource": {**response, "item": answered}},
        "observations": {"resource": {**observation, "valueQuantity": quantity}},
        "observations without a value": {"resource": observation},
        "patients": {"resource": {"resourceType": "Patient", "id": "x", "birthDate": "1960-01-01", "gender": "male"}},
        "empty entries": {},
    }
    for name, entry in entries.items():
        unit = json.dumps(entry, separators=(",", ":")).encode()
        for most in (1000, 10**9):
            yield Body(f"bundle of {name}, {most}", FHIR, filled(head, unit, b"]}", _FHIR, most))
        large = filled(head, unit, b"]}", _FHIR_LARGEST, _FHIR_OBJECTS // unit.count(b"{"))
        yield Body(f"large bundle of {name}", FHIR, large)
    code = b'{"resource":{"resourceType":"Observation","code":{"coding":['
    yield Body("codings", FHIR, filled(head + code, b"{}", b"]}}}]}", _FHIR))
    yield Body("9,000 codings", FHIR, filled(head + code, b"{}", b"]}}}]}", _FHIR, 9_000))
