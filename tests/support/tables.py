"""The feature tables that property tests run for: the built-in one, and one whose codes are texts."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from schemas.tables.toml_file import read_table_file
from scoring.compiled_table import CompiledTable
from tests.support.uci import UCI

TEXT_CODES: Final = CompiledTable(read_table_file(Path(__file__).parents[1] / "tables" / "text_codes.toml"))
each_table: Final = pytest.mark.parametrize("compiled", [UCI, TEXT_CODES], ids=["uci_heart", "text_codes"])
