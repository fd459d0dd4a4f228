"""Reading and writing W3C Trace Context headers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from schemas.topics import TRACEPARENT_HEADER, TRACESTATE_HEADER

_SAMPLED: Final = 0x01
_FORM: Final = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_LONGEST: Final = 512


class Parent(msgspec.Struct, frozen=True):
    """The parent span of a record or a request (W3C Trace Context): ids in hexadecimal, flags as a number."""

    trace_id: str
    span_id: str
    flags: int
    state: str = ""

    @property
    def is_sampled(self) -> bool:
        """Whether its trace is sampled."""
        return bool(self.flags & _SAMPLED)


def read_parent(headers: Iterable[tuple[str, str | bytes | None]]) -> Parent | None:
    """Read the parent span from headers; None if there is none, or if it is invalid. Never raises."""
    carried = {name: _text(value) for name, value in headers if name in {TRACEPARENT_HEADER, TRACESTATE_HEADER}}
    found = _FORM.fullmatch(carried.get(TRACEPARENT_HEADER, ""))
    if found is None or (found["more"] is not None and found["version"] == "00"):
        return None
    return Parent(found["trace"], found["span"], int(found["flags"], 16), carried.get(TRACESTATE_HEADER, ""))


def _text(value: str | bytes | None) -> str:
    """Return a header's value as text; empty if it is too long or not ASCII."""
    if value is None or len(value) > _LONGEST or not value.isascii():
        return ""
    return (value if isinstance(value, str) else value.decode("ascii")).strip(" \t")


def write_parent(parent: Parent) -> tuple[tuple[str, bytes], ...]:
    """Return the headers that propagate a span's context."""
    headers = ((TRACEPARENT_HEADER, f"00-{parent.trace_id}-{parent.span_id}-{parent.flags:02x}".encode()),)
    return (*headers, (TRACESTATE_HEADER, parent.state.encode())) if parent.state else headers
