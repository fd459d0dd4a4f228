"""Confluent's wire format: schema registry clients prefix a value with a zero byte and the ID of its schema.

No JSON document starts with a zero byte, so a prefix cannot be confused with anything else that is valid here.
"""

from __future__ import annotations

from typing import Final

MAGIC_BYTE: Final = b"\0"
PREFIX_BYTES: Final = 5


def schema_prefix(number: int) -> bytes:
    """Return the prefix of a value whose schema has this ID."""
    return MAGIC_BYTE + number.to_bytes(PREFIX_BYTES - 1, "big")


def schema_id(value: bytes) -> int | None:
    """Return the schema ID of a prefixed value, None if there is no prefix."""
    has_prefix = value[:1] == MAGIC_BYTE and len(value) >= PREFIX_BYTES
    return int.from_bytes(value[1:PREFIX_BYTES], "big") if has_prefix else None


def strip_prefix(value: bytes) -> bytes:
    """Return the payload of a prefixed value; other values are returned unchanged."""
    return value if schema_id(value) is None else value[PREFIX_BYTES:]
