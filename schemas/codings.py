"""Adds a coding to a record."""

from __future__ import annotations

import msgspec

from schemas.tables.feature_table import CODING, PATIENT_ID


def with_coding(value: bytes | None, name: str) -> bytes | None:
    """Return a record with its coding added as the last member, otherwise unchanged.

    None if the value is not a JSON patient record, or already has a coding.
    """
    try:
        members = msgspec.json.decode(value or b"", type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if PATIENT_ID not in members or CODING in members:
        return None
    whole = value or b""
    end = whole.rindex(b"}")
    return whole[:end] + b',"coding":"%s"' % name.encode() + whole[end:]
