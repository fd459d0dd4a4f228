"""The maps of the codings are those of the published copies, row by row, and every interface reads by them."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from schemas.codings import CODINGS, FOREIGN_NAMES, UCI, with_coding
from schemas.features import FEATURES
from schemas.records import PatientRecord
from schemas.validation import validate
from tests.support.public_copies import COPIES, copy_rows
from tests.support.record_strategies import json_objects, legal_records

CODED = {feature.name: feature for feature in FEATURES if feature.codes}


@pytest.mark.parametrize(
    ("name", "rows", "digest"),
    [
        ("kaggle-303", 303, "df284ff659b45f6a04b21074787f4fbd0d550bb9138d8689a04352a4941d1b83"),
        ("kaggle-297", 297, "7f7cae64f24cca95bcfcd2103f3a8917560f5698270fd5cb622912796c56dba7"),
        ("statlog", 270, "d2495278ea7eb2df0995c0e9c065aca0ae4bf646c78a7337b374ca146700b5c6"),
        ("keel", 270, "fb9cb3a67a402941c16fa60a00541b147e9f80283db1d1d1ea6a4057d7ef5e8d"),
    ],
)
def test_map_reproduces_the_published_copy(name: str, rows: int, digest: str) -> None:
    """UCI's rows, written by the inverse map, are those of the published file, by the SHA-256 of the sorted rows."""
    found = copy_rows(name)
    lines = sorted(",".join(f"{value:g}" for value in row) for row in found)
    assert (len(found), hashlib.sha256("\n".join(lines).encode()).hexdigest()) == (rows, digest)


def test_every_coding_that_can_be_named_is_proved() -> None:
    """Nobody can name a coding whose map no published copy proves; KEEL's has none."""
    assert {*FOREIGN_NAMES} == {*COPIES} - {"keel"}


@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_map_names_every_code(name: str) -> None:
    """A field that differs has a code for each of UCI's, no two with one meaning."""
    for field, codes in CODINGS[name].codes.items():
        meant = [ours for ours in codes.values() if ours is not None]
        assert sorted(meant) == [code for code, _ in CODED[field].codes]


@given(st.sampled_from(sorted(CODINGS)), legal_records(), st.data())
def test_coded_record_is_the_record(name: str, value: bytes, data: DataObject) -> None:
    """A legal record, written in any coding that is named in it or for its source, is read as the same record."""
    sent = json.loads(value)
    sent.pop("coding", None)
    for field, codes in CODINGS[name].codes.items():
        theirs = [code for code, ours in codes.items() if ours == sent[field]]
        sent[field] = data.draw(st.sampled_from(theirs)) if theirs else sent[field]
    expected = validate(value)
    assert isinstance(expected, PatientRecord)
    numbers = [getattr(expected, feature.name) for feature in FEATURES]
    for found in (validate(json.dumps(sent).encode(), name), validate(json.dumps(sent | {"coding": name}).encode())):
        assert isinstance(found, PatientRecord)
        assert (found.coding, [getattr(found, feature.name) for feature in FEATURES]) == (UCI, numbers)


@given(st.sampled_from(FOREIGN_NAMES), json_objects(), st.sampled_from(["", " ", "\n"]))
def test_coding_is_added_and_nothing_else(name: str, document: object, space: str) -> None:
    """A record gets one member more at its end; what names a coding already, or is no patient's, gets none."""
    value = (json.dumps(document) + space).encode()
    marked = with_coding(value, name)
    if not isinstance(document, dict) or "patient_id" not in document or "coding" in document:
        assert marked is None
        return
    assert marked is not None
    assert json.loads(marked) == document | {"coding": name}
    assert marked.startswith(value.rstrip()[:-1])


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{}", b"not json", b"\xff", b'{"a":1}', b"[" * 9000])
def test_what_is_no_record_gets_no_coding(value: bytes | None) -> None:
    """A tombstone, or anything that is no JSON object of a patient, is left alone."""
    assert with_coding(value, "statlog") is None
