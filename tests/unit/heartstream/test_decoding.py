"""Decoding results: what a worker writes is decoded, anything else is a `DecodeError` without a value."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartstream import DeadLetter, DecodeError, Score, decode_dead_letter, decode_score, encode_score
from schemas.codec import encode_dead_letter
from schemas.records import PatientRecord, Source
from schemas.wire_format import schema_prefix
from scoring.scorer import Scorer
from tests.support.examples import accepted, rejected
from tests.support.outcomes import Scored, process
from tests.support.uci import validate

SOURCE = Source("patients", 3, 4711)
Decode = Callable[[bytes | None], Score | DeadLetter]


@pytest.mark.parametrize("model", ["scorer", "pattern_scorer", "forest_scorer"])
def test_a_score_round_trips(model: str, request: pytest.FixtureRequest) -> None:
    """Each example's score, with a schema registry frame or without, has the bytes that the worker wrote."""
    scorer: Scorer = request.getfixturevalue(model)
    values = [value for _, value in accepted()]
    for outcome in process(values, [SOURCE] * len(values), scorer):
        assert isinstance(outcome, Scored)
        assert encode_score(decode_score(outcome.value)) == outcome.value
        assert encode_score(decode_score(schema_prefix(7) + outcome.value)) == outcome.value


@pytest.mark.parametrize("value", [value for _, value, _ in rejected()], ids=[name for name, _, _ in rejected()])
def test_a_dead_letter_round_trips(value: bytes) -> None:
    """Each example's faults are decoded as they were encoded."""
    faults = validate(value)
    assert not isinstance(faults, PatientRecord)
    assert decode_dead_letter(encode_dead_letter(DeadLetter(faults, SOURCE))) == DeadLetter(faults, SOURCE)


@pytest.mark.parametrize("decode", [decode_score, decode_dead_letter])
@given(st.none() | st.binary() | st.sampled_from([b"[" * 30_000, b"\xff", b'{"patient_id":"p"}', b"{}", b"null"]))
def test_anything_else_raises_a_decode_error(decode: Decode, value: bytes | None) -> None:
    """Noise, a tombstone or another document never raises an error of the JSON library."""
    with pytest.raises(DecodeError, match=r"^not a (score|dead letter): "):
        decode(value)


@pytest.mark.parametrize(
    ("decode", "value", "text"),
    [
        (decode_score, None, "not a score: there is no value"),
        (decode_score, b"SECRET", "not a score: the value is not JSON"),
        (decode_score, b'{"patient_id":"SECRET"}', "not a score: $ does not match its JSON Schema"),
        (decode_score, b'{"patient_id":"p","risk":"SECRET"}', "not a score: $.risk does not match its JSON Schema"),
        (
            decode_dead_letter,
            b'{"errors":[{"code":"SECRET","pointer":"","message":""}]}',
            "not a dead letter: $.errors[0].code does not match its JSON Schema",
        ),
    ],
)
def test_the_error_has_the_position_and_no_value(decode: Decode, value: bytes | None, text: str) -> None:
    """Not in a chained exception either."""
    with pytest.raises(DecodeError) as caught:
        decode(value)
    assert (str(caught.value), caught.value.__suppress_context__) == (text, value is not None)
