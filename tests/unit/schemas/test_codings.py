"""The maps of the codings match the published copies, row by row, and every interface applies them."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from schemas.codings import with_coding
from schemas.record_format import coding_of
from schemas.records import PatientRecord
from tests.support.public_copies import COPIES, copy_rows
from tests.support.record_strategies import json_objects, legal_records
from tests.support.uci import CODINGS, FEATURES, FOREIGN_NAMES, OWN_CODING, validate

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
def test_a_map_reproduces_the_published_copy(name: str, rows: int, digest: str) -> None:
    """UCI's rows, written by the inverse map, are those of the published file, by the SHA-256 of the sorted rows."""
    found = copy_rows(name)
    lines = sorted(",".join(f"{value:g}" for value in row) for row in found)
    assert (len(found), hashlib.sha256("\n".join(lines).encode()).hexdigest()) == (rows, digest)


def test_every_supported_coding_is_verified() -> None:
    """Every coding that a record can name is verified by a published copy; KEEL's has none and cannot be named."""
    assert {*FOREIGN_NAMES} == {*COPIES} - {"keel"}


@pytest.mark.parametrize("name", FOREIGN_NAMES)
def test_a_map_is_complete_and_one_to_one(name: str) -> None:
    """For each field that differs, a coding has a code for each of UCI's, and no two with one meaning."""
    for field, codes in CODINGS[name].codes.items():
        meant = [ours for ours in codes.values() if ours is not None]
        assert sorted(meant) == [code for code, _ in CODED[field].codes]


@given(st.sampled_from(sorted(CODINGS)), legal_records(), st.data())
def test_a_coded_record_is_read_as_the_original_record(name: str, value: bytes, data: DataObject) -> None:
    """A valid record in any coding, named in the record or set for its source, is read as the same record."""
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
        assert (coding_of(found), [getattr(found, feature.name) for feature in FEATURES]) == (OWN_CODING, numbers)


@given(st.sampled_from(FOREIGN_NAMES), json_objects(), st.sampled_from(["", " ", "\n"]))
def test_naming_the_coding_changes_nothing_else(name: str, document: object, space: str) -> None:
    """A record gets one more member at its end; one that names a coding already, or is not a patient's, gets none."""
    value = (json.dumps(document) + space).encode()
    marked = with_coding(value, name)
    if not isinstance(document, dict) or "patient_id" not in document or "coding" in document:
        assert marked is None
        return
    assert marked is not None
    assert json.loads(marked) == document | {"coding": name}
    assert marked.startswith(value.rstrip()[:-1])


@pytest.mark.parametrize("value", [None, b"", b"[]", b"{}", b"not json", b"\xff", b'{"a":1}', b"[" * 9000])
def test_a_value_that_is_not_a_record_gets_no_coding(value: bytes | None) -> None:
    """A tombstone, or anything but a patient's JSON object, is left unchanged."""
    assert with_coding(value, "statlog") is None
