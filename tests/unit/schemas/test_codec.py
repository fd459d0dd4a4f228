"""The fast decoder accepts nothing that the slow path refuses, and the score builder writes what a `Score` encodes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.codec import (
    EncodedMetadata,
    ScoreBuilder,
    ScoreColumns,
    decode_dead_letter,
    decode_score,
    encode_dead_letter,
    encode_score_lines,
    encode_scores,
    label_set_json,
    reason_json,
)
from schemas.errors import RejectionCode, ValidationIssue
from schemas.generate import json_schema
from schemas.record_format import coding_of
from schemas.records import (
    PATIENT_ID_MAX_CHARS,
    RECORD_MAX_BYTES,
    DeadLetter,
    ModelRef,
    PatientRecord,
    Reason,
    Score,
    ScoreWarning,
    Source,
    WarningCode,
)
from scoring.compiled_table import CompiledTable
from tests.support.decoding import decoded, fast_verdict, numbers_of
from tests.support.examples import accepted
from tests.support.record_strategies import legal_members, legal_records, values, written
from tests.support.tables import each_table
from tests.support.uci import FEATURE_NAMES, decode, decode_coded, validate

COMPLETE = dict(accepted())["complete"].strip()
MODEL = ModelRef("logistic_regression", "1.0", "0123456789abcdef")
TEXT = st.text(st.characters(codec="utf-8"), max_size=130)
SOURCES = st.none() | st.builds(Source, TEXT, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
WARNINGS = st.builds(ScoreWarning, st.sampled_from(WarningCode), st.sampled_from(FEATURE_NAMES))
VALIDATOR = Draft202012Validator(json_schema.score())
MANY = settings(max_examples=1000)


@each_table
@MANY
@given(data=st.data())
def test_the_fast_path_accepts_only_what_the_slow_path_accepts(compiled: CompiledTable, data: st.DataObject) -> None:
    """What the decoder and the vectorized check accept, `validate` accepts with the same id, coding and numbers."""
    value = data.draw(values(compiled.table))
    fast = fast_verdict(value, compiled)
    if fast is None:
        return
    record, numbers = fast
    expected = compiled.records.validate(value)
    assert isinstance(expected, PatientRecord)
    assert (expected.patient_id, coding_of(expected)) == (record.patient_id, coding_of(record))
    assert numbers_of(expected, compiled.table) == numbers


@each_table
@given(data=st.data())
def test_the_vectorized_check_accepts_every_valid_record(compiled: CompiledTable, data: st.DataObject) -> None:
    """A record that the fast decoder and `validate` accept has no invalid row."""
    value = data.draw(values(compiled.table))
    if decoded(value, compiled) is not None and isinstance(compiled.records.validate(value), PatientRecord):
        assert fast_verdict(value, compiled) is not None


@each_table
@given(data=st.data())
def test_every_valid_record_is_accepted(compiled: CompiledTable, data: st.DataObject) -> None:
    """`validate` accepts a valid record in any JSON spelling."""
    assert isinstance(compiled.records.validate(data.draw(legal_records(compiled.table))), PatientRecord)


@each_table
@given(data=st.data())
def test_valid_records_take_the_fast_path(compiled: CompiledTable, data: st.DataObject) -> None:
    """Only an escaped quote, which only the id can contain, sends a valid record to the slow path."""
    members = data.draw(legal_members(compiled.table))
    value = written(members)
    quotes_around_the_id = 2
    assert (dict(members)['"patient_id"'].count('"') == quotes_around_the_id) == (decoded(value, compiled) is not None)


@given(st.binary() | st.none())
def test_decoders_never_raise(value: bytes | None) -> None:
    """Any bytes give a record, None or issues, and no exception."""
    verdict = validate(value)
    assert (decode(value) or decode_coded(value)) is None or isinstance(verdict, PatientRecord | tuple)
    assert verdict


@each_table
def test_the_fast_path_refuses_every_repeated_field(compiled: CompiledTable) -> None:
    """A repeated field is refused wherever the repeat is, even with the same value."""
    table = compiled.table
    document = {"patient_id": "p", **table.typical_record(), "coding": table.own_coding}
    body = json.dumps(document)[1:-1]
    assert decoded(f"{{{body}}}".encode(), compiled) is not None
    repeats = [f'"{field}":{json.dumps(value)}' for field, value in document.items()]
    repeated = [f"{{{first},{second}}}" for repeat in repeats for first, second in [(repeat, body), (body, repeat)]]
    assert [value for value in repeated if decoded(value.encode(), compiled) is not None] == []


def test_a_repeated_field_is_not_hidden_by_a_missing_one() -> None:
    """A missing field removes as many quotes as a repeated one adds; the value is refused all the same."""
    assert decode(COMPLETE.replace(b'"thal"', b'"age"')) is None


@pytest.mark.parametrize(("extra", "taken"), [(0, True), (1, False)])
def test_size_limit_is_exact(extra: int, taken: bool) -> None:  # noqa: FBT001
    """A value of RECORD_MAX_BYTES bytes is read, and one byte more is refused."""
    assert taken == (decode(COMPLETE.ljust(RECORD_MAX_BYTES + extra)) is not None)


@pytest.mark.parametrize(("length", "taken"), [(0, False), (1, True), (128, True), (129, False)])
def test_id_length_counts_characters(length: int, taken: bool) -> None:  # noqa: FBT001
    """An id of 1 to 128 characters, not bytes, is accepted."""
    value = COMPLETE.replace(b"cleveland-1", ("\U0001f600" * length).encode())
    assert (PATIENT_ID_MAX_CHARS, taken) == (128, decode(value) is not None)


def written_score(score: Score) -> bytes:
    """Write a score through the builder, from its parts."""
    absent = score.label_set is msgspec.UNSET
    builder = ScoreBuilder(score.model, score.threshold)
    columns = ScoreColumns(
        [score.risk],
        [builder.metadata(score.pattern, score.missing, score.warnings, score.measure_next)],
        [score.interval],
        [score.sampling_interval],
        [msgspec.UNSET if absent else label_set_json(score.label_set)],
        [list(map(reason_json, score.reasons)) if isinstance(score.reasons, tuple) else score.reasons],
    )
    (value,) = encode_scores(builder.scores([score.patient_id], columns, [score.source]))
    return value


def switchable(part: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.just(msgspec.UNSET) | st.none() | part


PROBABILITIES = st.integers(0, 10**6).map(lambda millionths: millionths / 10**6)
SCORES = st.builds(
    Score,
    patient_id=TEXT,
    risk=PROBABILITIES,
    label=st.just(0),
    threshold=st.floats(0, 1),
    model=st.just(MODEL),
    pattern=st.none() | TEXT,
    missing=st.lists(st.sampled_from(FEATURE_NAMES)).map(tuple),
    warnings=st.lists(WARNINGS).map(tuple),
    measure_next=switchable(st.lists(st.sampled_from(FEATURE_NAMES), max_size=3).map(tuple)),
    interval=switchable(st.tuples(PROBABILITIES, PROBABILITIES)),
    sampling_interval=st.just(msgspec.UNSET) | st.tuples(PROBABILITIES, PROBABILITIES),
    label_set=switchable(st.sampled_from([(0,), (1,), (0, 1)])),
    reasons=switchable(
        st.lists(st.builds(Reason, st.sampled_from(FEATURE_NAMES), st.floats(-20, 20))).map(tuple),
    ),
    source=SOURCES,
).map(lambda score: msgspec.structs.replace(score, label=int(score.risk >= score.threshold)))


@given(SCORES)
def test_the_builder_writes_the_bytes_of_the_encoded_score(score: Score) -> None:
    """A score that is assembled from encoded parts has the same bytes as an encoded `Score`."""
    assert msgspec.json.encode(score) == written_score(score)


@given(SCORES)
def test_a_score_survives_the_wire(score: Score) -> None:
    """A consumer decodes the score that was written, with every field."""
    assert score == decode_score(written_score(score))


@given(SCORES)
def test_a_score_is_valid_by_its_schema(score: Score) -> None:
    """Whichever optional parts are switched off, the written score is valid by the published JSON Schema."""
    assert list(VALIDATOR.iter_errors(json.loads(written_score(score)))) == []


@given(
    st.lists(st.builds(ValidationIssue, st.sampled_from(RejectionCode), TEXT, TEXT)).map(tuple), SOURCES.filter(bool)
)
def test_a_dead_letter_survives_the_wire(issues: tuple[ValidationIssue, ...], source: Source) -> None:
    """The issues and the source that are read back from the headers are those written."""
    letter = DeadLetter(issues, source)
    assert letter == decode_dead_letter(encode_dead_letter(letter))


def plain_columns(risks: list[float], metadata: list[EncodedMetadata]) -> ScoreColumns:
    absent = [msgspec.UNSET] * len(risks)
    return ScoreColumns(risks, metadata, absent, absent, absent, absent)


def test_the_builder_keeps_the_order() -> None:
    """Each record gets its own risk, metadata and source."""
    builder = ScoreBuilder(MODEL, 0.5)
    metadata = [builder.metadata("complete", (), (), ()), builder.metadata("ca", ("ca",), (), ("ca",))]
    columns = plain_columns([0.4999, 0.5], metadata)
    scores = builder.scores(["a", "b"], columns, [None, Source("t", 0, 1)])
    encoded = encode_scores(scores)
    assert encode_score_lines(scores) == b"".join(value + b"\n" for value in encoded)
    found = [(s.patient_id, s.risk, s.label, s.missing, s.source) for s in map(decode_score, encoded)]
    assert [("a", 0.4999, 0, (), None), ("b", 0.5, 1, ("ca",), Source("t", 0, 1))] == found


@given(st.lists(st.integers(0, 10**6), max_size=50))
def test_risks_are_written_with_at_most_six_decimals(millionths: list[int]) -> None:
    """A risk that was rounded to six decimals is written with no more digits."""
    risks = np.round(np.array(millionths) / 10**6, 6).tolist()
    builder = ScoreBuilder(MODEL, 0.5)
    columns = plain_columns(risks, [builder.metadata(None, (), (), None)] * len(risks))
    encoded = encode_scores(builder.scores(["p-1"] * len(risks), columns))
    assert millionths == [round(decode_score(value).risk * 10**6) for value in encoded]
    assert all(len(repr(risk)) <= len("0.123456") or "e-" in repr(risk) for risk in risks)


def test_a_column_that_is_too_short_is_an_error() -> None:
    """A missing entry in any column raises an error instead of dropping the last score."""
    builder = ScoreBuilder(MODEL, 0.5)
    metadata = [builder.metadata("complete", (), (), ())] * 2
    for risks, sources in (([0.1], [None, None]), ([0.1, 0.2], [None])):
        with pytest.raises(ValueError, match="record"):
            builder.scores(["a", "b"], plain_columns(risks, metadata), sources)
