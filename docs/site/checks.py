"""What is wrong with a built site: broken links, resources of other hosts, and Markdown that was not understood."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

_RESOURCES: Final = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
"""Attributes that a browser loads by itself. A link tag that only describes the page is not one of them."""
_DESCRIBING: Final = {"canonical", "alternate", "next", "prev", "edit"}
_RAW: Final = re.compile(r"```|\]\(|^(?:[-*]|\d{1,2}\.) |^\|.*\|$", re.MULTILINE)
"""Markdown in the text of a paragraph: a list without an empty line before it, say."""


class Page(HTMLParser):
    """What a page links to and loads, its anchors, and the text of its paragraphs."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.paragraphs: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag refers to."""
        values = {name: value for name, value in attrs if value is not None}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif (attribute := _RESOURCES.get(tag)) in values and values.get("rel") not in _DESCRIBING:
            self.loaded.append(values[attribute or ""])
        if tag in {"p", "code", "script", "style"}:
            self._open.append(tag)
            if tag == "p":
                self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        if tag in self._open:
            del self._open[self._open.index(tag) :]

    def handle_data(self, data: str) -> None:
        """Add to the paragraph, unless it is code."""
        if self._open == ["p"]:
            self.paragraphs[-1] += data


def problems_of(folder: Path) -> list[str]:
    """Return what is wrong with the site in a folder."""
    pages = {path.resolve(): Page(path.read_text("utf-8")) for path in sorted(folder.rglob("*.html"))}
    return [
        f"{path.relative_to(folder.resolve())}: {problem}"
        for path, page in pages.items()
        if path.name != "404.html"  # its links depend on the address of the site
        for problem in _problems_of(path, page, pages)
    ]


def _problems_of(path: Path, page: Page, pages: dict[Path, Page]) -> Iterator[str]:
    for url in page.loaded:
        if urlsplit(url).netloc:
            yield f"loads {url}"
        elif not urlsplit(url).scheme and not (path.parent / unquote(urlsplit(url).path)).exists():
            yield f"{url} does not exist"
    for url in page.links:
        parts = urlsplit(url)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            yield f"{url} does not exist"
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
            yield f"{url}: there is no such heading"
    for text in page.paragraphs:
        if found := _RAW.search(text):
            yield f"Markdown that was not understood, {found[0]!r} in: {text[:80]!r}"
