"""The built-in feature table's fields."""

from __future__ import annotations

from schemas.tables.builtin import UCI_HEART

FEATURE_TABLE_VERSION = UCI_HEART.identifier
TARGET_DEFINITION = f"num > 0: {UCI_HEART.outcome.meaning}"
FEATURES = UCI_HEART.features
FEATURE_NAMES = UCI_HEART.names
