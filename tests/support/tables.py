"""The feature tables that property tests run for: the built-in one, and those in `tests/tables/`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from schemas.tables.toml_file import read_table
from scoring.compiled_table import CompiledTable
from tests.support.uci import UCI

_FOLDER: Final = Path(__file__).parents[1] / "tables"
TABLES: Final = {path.stem: CompiledTable(read_table(path.read_bytes(), path.name)) for path in _FOLDER.glob("*.toml")}
"""The tables by the names of their files."""
TEXT_CODES: Final = TABLES["text_codes"]
each_table: Final = pytest.mark.parametrize("compiled", [UCI, *TABLES.values()], ids=["uci_heart", *TABLES])
