"""The line of each key of a TOML document, which `tomllib` does not report."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas.tables.checks import Keys


class TomlLines:
    """Finds the line of a key: that of its statement, of the table around it, or the first."""

    def __init__(self, text: str, document: Mapping[str, Any]) -> None:
        """`document` is the parsed `text`."""
        self._lines: dict[Keys, int] = {(): 1}
        counts: dict[Keys, int] = {}
        table: Keys = ()
        for line, statement, parsed in _statements(text.split("\n")):
            keys = _chain(parsed)
            if statement.startswith("["):
                table = self._table(keys, document, counts, is_array=statement.startswith("[["))
                for length in range(1, len(table) + 1):
                    self._lines.setdefault(table[:length], line)
            else:
                for length in range(1, len(keys) + 1):
                    self._lines.setdefault((*table, *keys[:length]), line)

    def _table(self, keys: Sequence[str], document: Any, counts: dict[Keys, int], *, is_array: bool) -> Keys:
        """Return the path of a header's table; in an array of tables it is the last element so far."""
        path: Keys = ()
        for depth, key in enumerate(keys):
            path, document = (*path, key), document[key]
            if isinstance(document, list):
                if is_array and depth == len(keys) - 1:
                    counts[path] = counts.get(path, 0) + 1
                index = counts[path] - 1
                path, document = (*path, index), document[index]
        return path

    def of(self, path: Keys) -> int:
        """Return the line of a path."""
        while path not in self._lines:
            path = path[:-1]
        return self._lines[path]


def _statements(lines: Sequence[str]) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield the line, text and content of each header and key; a value may span several lines."""
    start = 0
    while start < len(lines):
        stop = start + 1
        while (parsed := _parsed("\n".join(lines[start:stop]))) is None:
            stop += 1
        if parsed:
            yield start + 1, lines[start].lstrip(), parsed
        start = stop


def _parsed(statement: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return None


def _chain(parsed: Mapping[str, Any]) -> list[str]:
    """Return the keys of the only value of a statement, outermost first."""
    keys: list[str] = []
    inner: Any = parsed
    while isinstance(inner, Mapping) and len(inner) == 1:
        (key, inner) = next(iter(inner.items()))
        keys.append(key)
        if isinstance(inner, list) and len(inner) == 1 and isinstance(inner[0], Mapping):
            inner = inner[0]
    return keys
