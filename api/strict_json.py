"""What JSON parsers accept silently: repeated members, NaN, a byte order mark."""

from __future__ import annotations

import codecs
import json
from typing import Any


class RepeatedMemberError(ValueError):
    """An object has two members of one name: which of them counts, nobody can know."""


def without_bom(body: bytes) -> bytes:
    """Return a body without the byte order mark that Windows programs write in front (RFC 8259 lets us ignore it)."""
    return body.removeprefix(codecs.BOM_UTF8)


def refuse_repeated_members(body: bytes) -> None:
    """Raise RepeatedMemberError where any object of a JSON document, however deep, has two members of one name.

    Raises another ValueError where the body is no JSON document in UTF-8, or is nested too deep.
    """
    try:
        json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_refused)
    except RecursionError:
        raise ValueError("nested too deep") from None


def _once(members: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in members}) < len(members):
        raise RepeatedMemberError


def _refused(_constant: str) -> None:
    raise ValueError("JSON knows no such number")
