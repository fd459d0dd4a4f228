"""Checks for what JSON parsers accept silently: duplicate members, NaN, a byte order mark."""

from __future__ import annotations

import codecs
import json
from typing import Any


class DuplicateMemberError(ValueError):
    """An object has two members of one name: it is ambiguous which of them counts."""


def without_bom(body: bytes) -> bytes:
    """Return a body without the byte order mark that Windows programs write (RFC 8259 allows to ignore it)."""
    return body.removeprefix(codecs.BOM_UTF8)


def reject_duplicate_members(body: bytes) -> None:
    """Raise DuplicateMemberError if any object of a JSON document, at any depth, has two members of one name.

    Raises another ValueError if the body is not a JSON document in UTF-8, or is nested too deeply.
    """
    try:
        json.loads(body.decode(), object_pairs_hook=_check_names, parse_constant=_reject_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _check_names(members: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in members}) < len(members):
        raise DuplicateMemberError


def _reject_constant(_constant: str) -> None:
    raise ValueError("not a JSON number")
