"""The documentation site: every page is in it, and what its build checks is found. `./run docs` builds it."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

SITE: Final = Path(__file__).parents[2] / "docs/site"
"""Its modules are scripts, which import each other."""


@pytest.fixture(scope="module")
def modules() -> Iterator[tuple[ModuleType, ModuleType]]:
    """The modules `build` and `checks`."""
    sys.path.insert(0, str(SITE))
    yield importlib.import_module("build"), importlib.import_module("checks")
    sys.path.remove(str(SITE))
    del sys.modules["build"], sys.modules["checks"]


def test_every_page_is_in_the_navigation_and_links_to_files(
    modules: tuple[ModuleType, ModuleType], tmp_path: Path
) -> None:
    """Pages of docs/, and those that they link to."""
    staging = modules[0].Staging(tmp_path)
    staging.copy_all()
    assert staging.problems == []
    assert (tmp_path / "docs/decisions/index.md").is_file()


@pytest.mark.parametrize(
    ("body", "problems"),
    [
        ('<a href="other.html#there">a</a> <a href="#x">b</a> <a href="https://example.org">c</a> <p id="x">', []),
        ('<a href="none.html">a</a>', ["none.html does not exist"]),
        ('<a href="other.html#none">a</a>', ["other.html#none: there is no such heading"]),
        ('<img src="none.png">', ["none.png does not exist"]),
        ('<script src="https://example.org/a.js"></script>', ["loads https://example.org/a.js"]),
        ('<link rel="stylesheet" href="//example.org/a.css">', ["loads //example.org/a.css"]),
        ('<link rel="canonical" href="https://example.org/">', []),
        ("<p>Two:\n- a\n- b</p>", ["Markdown that was not understood, '- ' in: 'Two:\\n- a\\n- b'"]),
        ("<p>As <code>- a</code>, or <code>```</code></p>", []),
    ],
)
def test_what_is_wrong_with_a_page_is_found(
    modules: tuple[ModuleType, ModuleType], tmp_path: Path, body: str, problems: list[str]
) -> None:
    """Broken links, headings and pictures, resources of other hosts, and Markdown in the text."""
    (tmp_path / "index.html").write_text(body, "utf-8")
    (tmp_path / "other.html").write_text('<h2 id="there">x</h2>', "utf-8")
    assert modules[1].problems_of(tmp_path) == [f"index.html: {problem}" for problem in problems]


def test_a_list_right_after_text_becomes_a_list(modules: tuple[ModuleType, ModuleType]) -> None:
    """As on GitHub; code blocks stay as they are, but for their place in the file."""
    staged = modules[0]._staged("**So.**\n- a\n  b\n- c\n\n```\nx\n- y\n[z](z.md)\n```\n[d](e.md)\n", str.upper)
    assert staged == "**So.**\n\n- a\n  b\n- c\n\n```\nx\n- y\n[z](z.md)\n```\n[d](E.MD)\n"
