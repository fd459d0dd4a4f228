"""The built-in feature table, compiled: that of UCI's files."""

from __future__ import annotations

from typing import Final

from schemas.tables.builtin import UCI_HEART
from scoring.compiled_table import CompiledTable

UCI: Final = CompiledTable(UCI_HEART)
