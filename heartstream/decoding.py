"""Decodes records of the scores and dead letter topics, for consumers."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from schemas import codec
from schemas.codec import UNDECODABLE
from schemas.errors import DecodeError
from schemas.records import DeadLetter, Score

_PATH: Final = re.compile(r"`(\$[^`]*)`$")
"""The path in msgspec's error message. The rest of the message may contain a value."""


def decode_score(value: bytes | None) -> Score:
    """Decode the value of a message of the scores topic, with or without a schema registry header.

    Raises DecodeError if it is not a score.
    """
    try:
        return codec.decode_score(_present(value, "score"))
    except UNDECODABLE as error:
        raise _refused("score", error) from None


def decode_dead_letter(value: bytes | None) -> DeadLetter:
    """Decode the header `DEAD_LETTER_HEADER` of a message of the dead letter topic.

    Raises DecodeError if it is not a dead letter.
    """
    try:
        return codec.decode_dead_letter(_present(value, "dead letter"))
    except UNDECODABLE as error:
        raise _refused("dead letter", error) from None


def encode_score(score: Score) -> bytes:
    """Encode a score as JSON, with the bytes that every interface of heartstream writes."""
    return msgspec.json.encode(score)


def _present(value: bytes | None, kind: str) -> bytes:
    if value is None:
        raise DecodeError(f"not a {kind}: there is no value")
    return value


def _refused(kind: str, error: Exception) -> DecodeError:
    """Return the error for an invalid document; it names the invalid member, and no value."""
    if not isinstance(error, msgspec.ValidationError):
        return DecodeError(f"not a {kind}: the value is not JSON")
    path = _PATH.search(str(error))
    return DecodeError(f"not a {kind}: {path[1] if path else '$'} does not match its JSON Schema")
