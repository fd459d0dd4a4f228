"""The built-in feature table, compiled: the one that the benchmarks measure."""

from __future__ import annotations

from typing import Final

from schemas.tables.builtin import UCI_HEART
from scoring.compiled_table import CompiledTable

UCI: Final = CompiledTable(UCI_HEART)
decode = UCI.records.decode
as_matrix, blank_missing, legal_rows = UCI.matrix.as_matrix, UCI.matrix.blank_missing, UCI.matrix.legal_rows
