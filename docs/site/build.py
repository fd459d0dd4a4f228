"""Build the documentation site: `./run docs`. Every warning and every broken link is an error.

Pages are where a reader of the repository expects them, and link to the files beside them. Zensical takes one folder of
pages, so this copies the pages of the navigation, and what they link to, into one with the layout of the repository: a
link means the same in both. Linked texts become pages too, and a linked folder becomes a list of its files.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from checks import problems_of

ROOT: Final = Path(__file__).parents[2]
OUTPUT: Final = ROOT / "site"
_CONFIG: Final = Path(__file__).with_name("zensical.toml")
_DECISIONS: Final = '"docs/decisions/*.md"'
_INDEX: Final = "docs/decisions/index.md"
_NOT_SHOWN: Final = frozenset({".ipynb", ".png", ".svg"})
_HIDDEN: Final = (".github/", "github/")
"""Zensical leaves hidden folders out."""
_MAX_SHOWN_BYTES: Final = 100_000
_FENCES: Final = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
_LIST_IN_PARAGRAPH: Final = re.compile(r"^(?![\s#>|]|[-*] |\d+\. )(.+)\n(?=[-*] |1\. )", re.MULTILINE)
"""A list right after a line of text, which is one for GitHub, but not for Python-Markdown."""
_BADGE: Final = re.compile(r"^\[!\[.*\n\n", re.MULTILINE)
_OUT_OF_SEARCH: Final = "---\nsearch:\n  exclude: true\n---\n"


def configuration(url: str = "") -> str:
    """Return the configuration, with every decision in the navigation and the address of the site, if it has one."""
    names = json.dumps([_INDEX, *(_name(path) for path in _decisions())])
    text = _CONFIG.read_text("utf-8").replace(_DECISIONS, names[1:-1])
    return text.replace("[project]\n", f"[project]\nsite_url = {json.dumps(url)}\n", 1) if url else text


def _decisions() -> list[Path]:
    return sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))


def pages_of(nav: Any) -> Iterator[str]:
    """Yield the pages of a navigation, or of a part of it."""
    if isinstance(nav, str):
        yield nav
        return
    for each in nav.values() if isinstance(nav, dict) else nav:
        yield from pages_of(each)


class Staging:
    """The folder that Zensical reads, and what is wrong with the pages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pages = set(pages_of(tomllib.loads(configuration())["project"]["nav"]))
        self.problems: list[str] = []

    def copy_all(self) -> None:
        """Copy every page and what it links to. Each page of docs/ must be in the navigation."""
        lines = [f"- [{_title(path)}]({path.name})\n" for path in _decisions()]
        self._write(_INDEX, "".join(("# Decisions\n\nWhy things are as they are, oldest first.\n\n", *lines)))
        for name in sorted(self._pages - {_INDEX}):
            page = ROOT / name
            text = _BADGE.sub("", page.read_text("utf-8"))
            self._write(name, _staged(text, partial(self._copied, page)))
        for name in sorted({_name(path) for path in (ROOT / "docs").rglob("*.md")} - self._pages):
            self.problems.append(f"{name} is not in the navigation")

    def _copied(self, page: Path, link: str) -> str:
        """Copy what a page links to, and return the link to the copy."""
        target = (page.parent / unquote(link)).resolve()
        if not target.is_relative_to(ROOT) or not target.exists():
            self.problems.append(f"{_name(page)}: {link} does not exist")
        elif target.suffix == ".md":
            if _name(target) not in self._pages:
                self.problems.append(f"{_name(page)}: {link} is not in the navigation")
        elif target.is_dir():
            if _name(target / "index.md") != _INDEX:
                self._list(target)
            return f"{link.rstrip('/')}/index.md"
        else:
            return f"{link.replace(*_HIDDEN)}{self._copy(target)}"
        return link

    def _list(self, folder: Path) -> None:
        """Copy the files of a folder, and write a page that lists them."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
        lines = [f"- [{path.relative_to(folder)}]({path.relative_to(folder)}{self._copy(path)})\n" for path in files]
        self._write(f"{_name(folder)}/index.md", "".join((f"{_OUT_OF_SEARCH}# {_name(folder)}\n\n", *lines)))

    def _copy(self, path: Path) -> str:
        """Copy a file, and return what its copy's name has at the end."""
        if path.suffix in _NOT_SHOWN or path.stat().st_size > _MAX_SHOWN_BYTES:
            target = self._folder / _name(path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
            return ""
        language = {".py": "python", "": "text"}.get(path.suffix, path.suffix.removeprefix("."))
        text = f"{_OUT_OF_SEARCH}# {_name(path)}\n\n````{language}\n{path.read_text('utf-8').rstrip()}\n````\n"
        self._write(f"{_name(path)}.md", text)
        return ".md"

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name.replace(*_HIDDEN)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _title(page: Path) -> str:
    return page.read_text("utf-8").partition("\n")[0].removeprefix("# ")


def _staged(text: str, linked: Callable[[str], str]) -> str:
    """Replace each link to a file, and let lists begin with an empty line, outside of code blocks."""
    parts = _FENCES.split(text)
    lists = (_LIST_IN_PARAGRAPH.sub(r"\1\n\n", part) for part in parts[::2])
    parts[::2] = [_LINK.sub(lambda found: linked(found[1]), part) for part in lists]
    return "".join(parts)


def main() -> None:
    """Stage, build and check the site."""
    parser = argparse.ArgumentParser(prog="./run docs", description="Build the documentation site in site/html.")
    parser.add_argument("--url", default="", help="where it will be published")
    url = parser.parse_args().url
    shutil.rmtree(OUTPUT, ignore_errors=True)
    staging = Staging(OUTPUT / "pages")
    staging.copy_all()
    (OUTPUT / "zensical.toml").write_text(configuration(url), "utf-8")
    if staging.problems:
        sys.exit("\n".join(staging.problems))
    command = [str(Path(sys.executable).with_name("zensical")), "build", "--strict", "--config-file", "zensical.toml"]
    done = subprocess.run(command, cwd=OUTPUT, check=False)  # noqa: S603  # installed beside the interpreter
    if done.returncode:
        sys.exit(done.returncode)
    if problems := problems_of(OUTPUT / "html"):
        sys.exit("\n".join(problems))
    sys.stdout.write(f"{OUTPUT / 'html' / 'index.html'}\n")


if __name__ == "__main__":
    main()
