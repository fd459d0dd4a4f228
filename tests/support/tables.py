"""The feature tables that property tests run for: the built-in one, and one whose codes are texts; and table files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from schemas.tables.toml_file import InvalidTableError, read_table, read_table_file
from scoring.compiled_table import CompiledTable
from tests.support.uci import UCI

TEXT_CODES: Final = CompiledTable(read_table_file(Path(__file__).parents[1] / "tables" / "text_codes.toml"))
each_table: Final = pytest.mark.parametrize("compiled", [UCI, TEXT_CODES], ids=["uci_heart", "text_codes"])


def problems_of(text: str, *changes: tuple[str, str]) -> list[str]:
    """Return the problems of a table's file "t.toml" after replacements of its text; none if it is valid."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    try:
        read_table(text.encode(), "t.toml")
    except InvalidTableError as error:
        return list(error.problems)
    return []
