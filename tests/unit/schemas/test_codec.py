"""The fast decoder takes nothing that the slow path refuses, and the encoder writes what a `Score` says."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import Remarks, ScoreEncoder, decode, decode_dead_letter, decode_score, encode_dead_letter
from schemas.errors import Fault, FaultCode
from schemas.faults import examine
from schemas.features import FEATURE_NAMES
from schemas.records import (
    PATIENT_ID_MAX_CHARS,
    RECORD_MAX_BYTES,
    DeadLetter,
    ModelRef,
    PatientRecord,
    Score,
    ScoreWarning,
    Source,
    WarningCode,
)
from scoring.matrix import as_matrix, blank_missing, legal_rows
from tests.examples import accepted
from tests.unit.schemas.mutations import FIELDS, legal_members, legal_records, values, written

COMPLETE = dict(accepted())["complete"].strip()
MODEL = ModelRef("logistic_regression", "1.0", "0123456789abcdef")
TEXT = st.text(st.characters(codec="utf-8"), max_size=130)
SOURCES = st.none() | st.builds(Source, TEXT, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
WARNINGS = st.builds(ScoreWarning, st.sampled_from(WarningCode), st.sampled_from(FEATURE_NAMES))
MANY = settings(max_examples=1000)


def fast_verdict(value: bytes) -> tuple[PatientRecord, list[float | None]] | None:
    """Return what decoder and vectorised check make of a value: the record and its numbers, or None."""
    record = decode(value)
    if record is None:
        return None
    matrix = as_matrix([record])
    blank_missing(matrix)
    return (record, as_json_numbers(matrix[0].tolist())) if legal_rows(matrix)[0] else None


def as_json_numbers(row: list[float]) -> list[float | None]:
    return [None if number != number else number for number in row]  # noqa: PLR0124  # NaN alone differs from itself


@MANY
@given(values())
def test_fast_path_takes_only_what_the_slow_path_takes(value: bytes) -> None:
    """What decoder and vectorised check accept, `examine` accepts with the same id, coding and numbers."""
    fast = fast_verdict(value)
    if fast is None:
        return
    record, numbers = fast
    expected = examine(value)
    assert isinstance(expected, PatientRecord)
    assert (expected.patient_id, expected.coding) == (record.patient_id, record.coding)
    assert [getattr(expected, name) for name in FEATURE_NAMES] == numbers


@given(values())
def test_vectorised_check_refuses_nothing_legal(value: bytes) -> None:
    """A record that the fast decoder takes and `examine` takes is no illegal row."""
    if decode(value) is not None and isinstance(examine(value), PatientRecord):
        assert fast_verdict(value) is not None


@given(legal_records())
def test_every_legal_record_is_accepted(value: bytes) -> None:
    """However a legal record is written, `examine` takes it."""
    assert isinstance(examine(value), PatientRecord)


@given(legal_members())
def test_legal_records_take_the_fast_path(members: list[tuple[str, str]]) -> None:
    """Only an escaped quote, which only the id can hold, sends a legal record the slow way."""
    value = written(members)
    quotes_around_the_id = 2
    assert (dict(members)['"patient_id"'].count('"') == quotes_around_the_id) == (decode(value) is not None)


@given(st.binary() | st.none())
def test_decoders_never_raise(value: bytes | None) -> None:
    """Any bytes give a record, None or faults: no exception."""
    verdict = examine(value)
    assert decode(value) is None or isinstance(verdict, PatientRecord | tuple)
    assert verdict


@pytest.mark.parametrize("field", [*FIELDS, "coding"])
@pytest.mark.parametrize("where", ["first", "last"])
def test_fast_path_refuses_every_repeated_field(field: str, where: str) -> None:
    """A field that stands twice never gets through, wherever the repeat stands and though its value is the same."""
    document = {**json.loads(COMPLETE), "coding": "uci"}
    repeat = f'"{field}":{json.dumps(document[field])}'
    body = json.dumps(document)[1:-1]
    value = f"{{{repeat},{body}}}" if where == "first" else f"{{{body},{repeat}}}"
    assert decode(value.encode()) is None


def test_repeat_is_not_hidden_by_a_missing_field() -> None:
    """A lost field frees as many quotes as a repeated one needs; the value is refused all the same."""
    assert decode(COMPLETE.replace(b'"thal"', b'"age"')) is None


@pytest.mark.parametrize(("extra", "taken"), [(0, True), (1, False)])
def test_size_limit_is_exact(extra: int, taken: bool) -> None:  # noqa: FBT001
    """A value of RECORD_MAX_BYTES bytes is read, one byte more is not."""
    assert taken == (decode(COMPLETE.ljust(RECORD_MAX_BYTES + extra)) is not None)


@pytest.mark.parametrize(("length", "taken"), [(0, False), (1, True), (128, True), (129, False)])
def test_id_length_counts_characters(length: int, taken: bool) -> None:  # noqa: FBT001
    """The limit of the id is 1 to 128 characters, not bytes."""
    value = COMPLETE.replace(b"cleveland-1", ("\U0001f600" * length).encode())
    assert (PATIENT_ID_MAX_CHARS, taken) == (128, decode(value) is not None)


@given(
    TEXT,
    st.integers(0, 10**6).map(lambda millionths: millionths / 10**6),
    st.floats(0, 1),
    st.lists(st.sampled_from(FEATURE_NAMES)).map(tuple),
    st.lists(WARNINGS).map(tuple),
    SOURCES,
)
def test_encoder_writes_what_a_score_encodes_to(
    patient_id: str,
    risk: float,
    threshold: float,
    missing: tuple[str, ...],
    warnings: tuple[ScoreWarning, ...],
    source: Source | None,
) -> None:
    """The bytes that are put together from ready parts equal those of encoding a whole `Score`."""
    record = msgspec.structs.replace(msgspec.json.decode(COMPLETE, type=PatientRecord), patient_id=patient_id)
    score = Score(patient_id, risk, int(risk >= threshold), threshold, MODEL, missing, warnings, source)
    (value,) = ScoreEncoder(MODEL, threshold).encode([record], [risk], [Remarks.of(missing, warnings)], [source])
    assert msgspec.json.encode(score) == value


def test_score_survives_the_wire() -> None:
    """What a consumer decodes is the score that was written, with every field."""
    missing, warnings = ("ca",), (ScoreWarning(WarningCode.IMPUTED, "ca"),)
    source = Source("patients", 1, 2)
    record = msgspec.json.decode(COMPLETE, type=PatientRecord)
    (value,) = ScoreEncoder(MODEL, 0.5).encode([record], [0.5], [Remarks.of(missing, warnings)], [source])
    assert Score("cleveland-1", 0.5, 1, 0.5, MODEL, missing, warnings, source) == decode_score(value)


@given(st.lists(st.builds(Fault, st.sampled_from(FaultCode), TEXT, TEXT)).map(tuple), SOURCES.filter(bool))
def test_dead_letter_survives_the_wire(faults: tuple[Fault, ...], source: Source) -> None:
    """What is read back from the header is what was written."""
    letter = DeadLetter(faults, source)
    assert letter == decode_dead_letter(encode_dead_letter(letter))


def test_encoder_keeps_the_order() -> None:
    """Each record gets its own risk, remarks and source."""
    records = [msgspec.json.decode(COMPLETE.replace(b"cleveland-1", name), type=PatientRecord) for name in (b"a", b"b")]
    remarks = [Remarks.of((), ()), Remarks.of(("ca",), ())]
    encoded = ScoreEncoder(MODEL, 0.5).encode(records, [0.4999, 0.5], remarks, [None, Source("t", 0, 1)])
    found = [(s.patient_id, s.risk, s.label, s.missing, s.source) for s in map(decode_score, encoded)]
    assert [("a", 0.4999, 0, (), None), ("b", 0.5, 1, ("ca",), Source("t", 0, 1))] == found


@given(st.lists(st.integers(0, 10**6), max_size=50))
def test_risks_are_written_with_at_most_six_decimals(millionths: list[int]) -> None:
    """A risk that was rounded to six decimals needs no more digits on the wire."""
    record = msgspec.json.decode(COMPLETE, type=PatientRecord)
    risks = np.round(np.array(millionths) / 10**6, 6).tolist()
    plain = [Remarks.of((), ())] * len(risks)
    encoded = ScoreEncoder(MODEL, 0.5).encode([record] * len(risks), risks, plain, [None] * len(risks))
    assert millionths == [round(decode_score(value).risk * 10**6) for value in encoded]
    assert all(len(repr(risk)) <= len("0.123456") or "e-" in repr(risk) for risk in risks)
