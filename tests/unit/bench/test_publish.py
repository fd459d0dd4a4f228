"""The documents say what was measured: tables and plot are those of the result that is kept beside them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from bench.plot import draw
from bench.publish import BLOCKS, PAGES, PLOT, RESULT, Document, filled, rounded

DOCUMENT = msgspec.json.decode(RESULT.read_bytes(), type=Document)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_has_the_published_figures(page: Path) -> None:
    """After a change of the result: python -m bench.publish FILE."""
    text = page.read_text(encoding="utf-8")
    assert filled(text, DOCUMENT) == text


def test_the_plot_is_of_the_result() -> None:
    """To the byte."""
    assert PLOT.read_text(encoding="utf-8") == draw(RESULT.read_bytes())


def test_every_block_is_used() -> None:
    """No page has lost its markers."""
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert all(f"<!-- {name} -->\n" in text for name in BLOCKS)


def test_a_wrong_figure_is_replaced() -> None:
    """Only between the markers of a known name."""
    page = "a\n<!-- stream row -->\n1\n<!-- end -->\n<!-- other -->\n2\n<!-- end -->\n"
    found = filled(page, DOCUMENT)
    assert "\n1\n" not in found
    assert found.endswith("<!-- other -->\n2\n<!-- end -->\n")


@pytest.mark.parametrize(("value", "text"), [(208_768, "209,000"), (69_033, "69,000"), (4_482, "4,500"), (330, "330")])
def test_numbers_are_rounded_to_what_is_certain(value: int, text: str) -> None:
    """Two or three digits."""
    assert rounded(value) == text
