"""The built-in feature table: UCI Heart Disease."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from schemas.tables.feature_table import FeatureTable
from schemas.tables.toml_file import InvalidTableError, read_table

_FILE: Final = Path(__file__).with_name("uci_heart.toml")
UCI_HEART: Final = read_table(_FILE.read_bytes(), _FILE.name)
"""The default of every command."""


def is_builtin(table: FeatureTable) -> bool:
    """Return whether a table is the built-in one: only that has published files, copies and known results."""
    return table.digest == UCI_HEART.digest


def refuse_builtin_name(table: FeatureTable) -> None:
    """Raise InvalidTableError if another table has the built-in one's name and version, by which reports know it."""
    if table.identifier == UCI_HEART.identifier and not is_builtin(table):
        name = f"name {table.name} and version {table.version} are those of the built-in table"
        raise InvalidTableError((f"{name}, which has another content: change one of them",))
