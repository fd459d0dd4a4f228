"""Laws of frames: what is put in is what comes out, and no JSON document looks like one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.frames import FRAME_BYTES, frame, schema_number, unframed
from tests.support.record_strategies import values


@given(st.integers(0, 2**32 - 1), st.binary())
def test_a_frame_gives_back_number_and_value(number: int, value: bytes) -> None:
    """Whatever they are."""
    framed = frame(number) + value
    assert (schema_number(framed), unframed(framed)) == (number, value)


@given(values() | st.binary(max_size=4))
def test_a_value_without_a_frame_stays_as_it_is(value: bytes) -> None:
    """Also one that is too short for one."""
    is_framed = value[:1] == b"\0" and len(value) >= FRAME_BYTES
    assert is_framed or (schema_number(value), unframed(value)) == (None, value)
