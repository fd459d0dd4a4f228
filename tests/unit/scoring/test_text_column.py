"""Texts and lines in one piece of memory are the same sequences as lists of objects."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scoring.lines import Lines
from scoring.text_column import TextColumn


def column_of(texts: list[str]) -> TextColumn:
    raw = [text.encode() for text in texts]
    ends = np.cumsum([len(each) for each in raw], dtype=np.int64)
    return TextColumn(b"".join(raw), ends - np.array([len(each) for each in raw], dtype=np.int64), ends)


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=8), st.data())
def test_a_column_is_the_sequence_of_its_texts(texts: list[str], data: st.DataObject) -> None:
    """As a whole, by index and slice, and after a selection."""
    mask = np.array([data.draw(st.booleans()) for _ in texts], dtype=np.bool_)
    column = column_of(texts)
    assert (list(column), len(column), column[1:]) == (texts, len(texts), texts[1:])
    assert [column[place] for place in range(len(texts))] == texts
    assert list(column.where(mask)) == [text for text, wanted in zip(texts, mask, strict=True) if wanted]


@given(st.lists(st.binary(max_size=3) | st.sampled_from([b"", b" ", b"\r", b"\t\x0b", b"{}"]), max_size=8))
def test_lines_are_those_that_are_not_blank(parts: list[bytes]) -> None:
    """Blank lines are left out, and all others unchanged."""
    block = b"\n".join(parts)
    expected = [line for line in block.split(b"\n") if line.strip()]
    lines = Lines(block)
    assert (list(lines), len(lines), lines[:2]) == (expected, len(expected), expected[:2])
