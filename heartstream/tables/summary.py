"""The summary of a feature table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from heartstream.terminal.wrapping import wrapped
from schemas.tables.feature_table import Feature, FeatureTable, Kind

_LABEL: Final = 11
_KINDS: Final = (("quantity", "quantities"), ("code", "codes"), ("text code", "text codes"), ("flag", "flags"))
_TODO: Final = "# TODO"


def summary(table: FeatureTable, content: str) -> str:
    """Describe a table in lines of at most 80 columns; `content` is its file."""
    lines = []
    for label, text in _rows(table, content):
        lines += wrapped(text or "none", f"{label:<{_LABEL}}", " " * _LABEL)
    return "\n".join(lines) + "\n"


def _rows(table: FeatureTable, content: str) -> Iterator[tuple[str, str]]:
    outcome = table.outcome
    horizon = f", within {outcome.horizon}" if outcome.horizon else ""
    yield "table", f"{table.name} {table.version}: {table.title}"
    yield "fields", _fields(table.features)
    yield "optional", _listed([table.names[place] for place in table.optional])
    yield "groups", _listed([group.name for group in table.groups])
    yield "codings", _listed([coding.name for coding in table.codings])
    yield "outcome", f"{outcome.column}: {_values(outcome.positive)} against {_values(outcome.negative)}{horizon}"
    yield "digest", table.digest[:16]
    if todo := todo_count(content):
        yield "to do", f"{todo} lines with TODO"


def todo_count(content: str) -> int:
    """Return how many lines of a table's file still need a person."""
    return sum(_TODO in line for line in content.splitlines())


def _fields(features: Sequence[Feature]) -> str:
    counts = Counter(map(_kind, features))
    kinds = [f"{counts[one]} {one if counts[one] == 1 else many}" for one, many in _KINDS if counts[one]]
    return f"{len(features)}: {', '.join(kinds)}"


def _kind(feature: Feature) -> str:
    if feature.kind is Kind.QUANTITY:
        return "quantity"
    if feature.is_flag:
        return "flag"
    return "text code" if feature.labels else "code"


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)}: {', '.join(names)}" if names else ""


def _values(values: Sequence[int | str]) -> str:
    return ", ".join(map(str, values))
