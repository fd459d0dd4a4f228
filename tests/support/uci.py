"""The built-in feature table as the tests use it, and its parts by name."""

from __future__ import annotations

from typing import Final

from schemas.column_mapping import ColumnMapper
from schemas.tables.builtin import UCI_HEART
from scoring.compiled_table import CompiledTable
from scoring.sources import foreign_source
from scoring.uncertainty import unknown

UCI: Final = CompiledTable(UCI_HEART)
FEATURES: Final = UCI_HEART.features
FEATURE_NAMES: Final = UCI_HEART.names
CODINGS: Final = UCI_HEART.coding_by_name
FOREIGN_NAMES: Final = UCI_HEART.foreign_codings
COLUMN_NAMES: Final = ColumnMapper(UCI_HEART).columns
OPTIONAL: Final = UCI.patterns.optional
GROUPS: Final = UCI.groups.names
FOREIGN_SOURCE: Final = foreign_source(UCI_HEART)
UNKNOWN: Final = unknown(UCI)

PatientRecord: Final = UCI.records.type
decode, decode_coded, validate = UCI.records.decode, UCI.records.decode_coded, UCI.records.validate
as_matrix, blank_missing, legal_rows = UCI.matrix.as_matrix, UCI.matrix.blank_missing, UCI.matrix.legal_rows
convert, convert_rows = UCI.matrix.convert, UCI.matrix.convert_rows
patterns_of, pattern_name, missing_fields = UCI.patterns.of, UCI.patterns.name, UCI.patterns.fields
groups_of, pattern_masks = UCI.groups.of, UCI.patterns.masks
PATTERNS: Final = UCI.patterns.count
OWN_CODING: Final = UCI_HEART.own_coding
_MAPPER: Final = ColumnMapper(UCI_HEART)
field_of, map_columns = _MAPPER.field_of, _MAPPER.map
