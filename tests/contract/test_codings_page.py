"""The documentation's table of codings equals the one in the code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from schemas.tables.feature_table import Coding
from tests.support.uci import CODINGS, FEATURES

PAGE = Path("docs/formats.md").read_text(encoding="utf-8")


def table() -> Iterator[str]:
    """Yield the expected lines of the table."""
    yield f"| | {' | '.join(f'`{name}`' for name in CODINGS)} |"
    yield f"|---{'|---' * len(CODINGS)}|"
    yield f"| what it is | {' | '.join(coding.description for coding in CODINGS.values())} |"
    for feature in FEATURES:
        if any(feature.name in coding.codes for coding in CODINGS.values()):
            meanings = {**dict(feature.codes), None: "not measured"}
            cells = [_codes(coding, feature.name, meanings) for coding in CODINGS.values()]
            yield f"| `{feature.name}` | {' | '.join(cells)} |"
    yield f"| outcome | {' | '.join(_outcome(coding) for coding in CODINGS.values())} |"


def _codes(coding: Coding, name: str, meanings: dict[int | None, str]) -> str:
    codes = coding.codes.get(name, {code: code for code in meanings if code is not None})
    return "<br>".join(f"{code} {meanings[ours]}" for code, ours in codes.items())


def _outcome(coding: Coding) -> str:
    words = {0: "absent", 1: "present"}
    return f"`{coding.outcome}`: " + ", ".join(f"{value} {words[label]}" for value, label in coding.classes.items())


def test_table_of_codings_is_current() -> None:
    """Names, codes and classes are those of `schemas.codings`."""
    assert "\n".join(table()) in PAGE
