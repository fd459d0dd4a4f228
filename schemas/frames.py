"""The frame that a schema registry's clients put around a value: a zero byte, and the number of its schema.

It is called Confluent's wire format. No JSON document begins with a zero byte, so a frame cannot be taken for anything
else that is legal here.
"""

from __future__ import annotations

from typing import Final

MAGIC: Final = b"\0"
FRAME_BYTES: Final = 5


def frame(number: int) -> bytes:
    """Return what goes before a value whose schema has this number."""
    return MAGIC + number.to_bytes(FRAME_BYTES - 1, "big")


def schema_number(value: bytes) -> int | None:
    """Return the number of a framed value's schema, None where there is no frame."""
    is_framed = value[:1] == MAGIC and len(value) >= FRAME_BYTES
    return int.from_bytes(value[1:FRAME_BYTES], "big") if is_framed else None


def unframed(value: bytes) -> bytes:
    """Return what is in a frame; a value without one as it is."""
    return value if schema_number(value) is None else value[FRAME_BYTES:]
