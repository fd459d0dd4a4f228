"""The built-in feature table: UCI Heart Disease."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from schemas.tables.toml_file import read_table

_FILE: Final = Path(__file__).with_name("uci_heart.toml")
UCI_HEART: Final = read_table(_FILE.read_bytes(), _FILE.name)
"""The default of every command."""
