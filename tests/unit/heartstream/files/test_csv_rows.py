"""CSV blocks are cut between rows, wherever they end."""

from __future__ import annotations

import csv
import io

from hypothesis import example, given
from hypothesis import strategies as st

from heartstream.files.csv_rows import count_rows, open_quote, row_pattern, row_start, spans, whole_rows

CELLS = st.lists(st.text('a"\n\r,; ', max_size=6), min_size=2, max_size=4)
ROW = row_pattern(b",")


def written(rows: list[list[str]], line_end: str) -> list[bytes]:
    """Write each row by itself."""
    found = []
    for row in rows:
        # The writer does not quote a lone carriage return, which ends a row, too.
        quoting = csv.QUOTE_ALL if any("\r" in cell for cell in row) else csv.QUOTE_MINIMAL
        csv.writer(text := io.StringIO(), lineterminator=line_end, quoting=quoting).writerow(row)
        found.append(text.getvalue().encode())
    return found


@given(rows=st.lists(CELLS, max_size=12), line_end=st.sampled_from(["\n", "\r\n"]), cut=st.integers(0, 400))
@example(rows=[["", ';;"\n']], line_end="\n", cut=7)
def test_a_block_ends_with_its_last_complete_row(rows: list[list[str]], line_end: str, cut: int) -> None:
    """Quotes, line ends and separators within cells do not end a row."""
    lines = written(rows, line_end)
    text, ends, total = b"".join(lines), [], 0
    for line in lines:
        total += len(line)
        ends.append(total)
    assert ends == [end for _, end in spans(text, ROW)]
    assert max((end for end in ends if end <= cut), default=0) == whole_rows(text[:cut], ROW)
    assert len(lines) == count_rows(text, ROW)
    assert [0, *ends[:-1]][: len(lines)] == [row_start(number, text, ROW) for number in range(1, len(lines) + 1)]


@given(rows=st.lists(CELLS, max_size=6), tail=st.text("a,\n", max_size=20))
@example(rows=[], tail="")
def test_an_unclosed_quote_is_located_at_the_start_of_its_row(rows: list[list[str]], tail: str) -> None:
    """However many rows it would swallow; text with closed quotes has none."""
    text = b"".join(written(rows, "\n"))
    assert open_quote(text, ROW) is None
    assert len(text) == open_quote(text + b'x,"' + tail.encode(), ROW)


def test_quotes_within_a_cell_are_ordinary_characters() -> None:
    """As in Arrow, only a quote at the start of a cell opens it."""
    text = b'5" tall,1\n6,2\n7,'
    assert whole_rows(text, ROW) == text.index(b"7")
    assert open_quote(b'5" tall,1\n6,2\n', ROW) is None
