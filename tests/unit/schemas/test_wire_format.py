"""Laws of schema registry frames: a frame returns its content, and no JSON document looks like a frame."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from schemas.wire_format import PREFIX_BYTES, schema_id, schema_prefix, strip_prefix
from tests.support.record_strategies import values


@given(st.integers(0, 2**32 - 1), st.binary())
def test_a_frame_returns_its_schema_id_and_value(number: int, value: bytes) -> None:
    """Any schema id and any value are read back from the frame."""
    framed = schema_prefix(number) + value
    assert (schema_id(framed), strip_prefix(framed)) == (number, value)


@given(values() | st.binary(max_size=4))
def test_a_value_without_a_frame_is_returned_unchanged(value: bytes) -> None:
    """A value without a frame, even one shorter than a frame's header, is unchanged."""
    is_framed = value[:1] == b"\0" and len(value) >= PREFIX_BYTES
    assert is_framed or (schema_id(value), strip_prefix(value)) == (None, value)
