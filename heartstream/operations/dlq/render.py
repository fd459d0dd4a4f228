"""Output of the `dlq` commands. Keys, values and foreign headers are printed only on request."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from heartstream.operations.dlq.dead_letters import DeadLetterRecord
from heartstream.operations.dlq.redrive import Tally
from heartstream.terminal.wrapping import wrapped
from schemas.errors import RecordError, RejectionCode, ValidationIssue
from schemas.records import Source

_UNKNOWN: Final = "-"
_GAP: Final = "  "
_TIME_WIDTH: Final = len("2026-01-01T00:00:00.000Z")
_ERRORS_WIDTH: Final = 24
_LABEL: Final = 15


class Table:
    """Lines of a table that is printed row by row: aligned on a terminal of this width, tab-separated elsewhere.

    Columns that do not fit continue on the next line, below the second column.
    """

    def __init__(self, *, width: int | None, with_key: bool, position_width: int, source_width: int) -> None:
        names = ("POSITION", "TIME", "SOURCE", "ATTEMPTS", "STATE", *(["KEY"] if with_key else []), "ERRORS")
        least = (position_width, _TIME_WIDTH, source_width, 8, 8, *([20] if with_key else []), _ERRORS_WIDTH)
        self._with_key = with_key
        self._width = width
        self._widths = [max(cells, len(name)) for name, cells in zip(names, least, strict=True)]
        self.head = self._join(names)

    def row(self, letter: DeadLetterRecord, *, redriven: bool) -> str:
        """Return the row of one letter."""
        reason = letter.reason
        cells = (
            f"{letter.partition}:{letter.offset}",
            time_text(letter.timestamp),
            source_text(reason.source) if reason else _UNKNOWN,
            str(letter.attempts),
            _state(redriven=redriven),
            *([bytes_text(letter.key)] if self._with_key else []),
            str(RecordError(reason.errors)) if reason else "not written by heartstream",
        )
        return self._join([escaped(cell) for cell in cells])

    def _join(self, cells: Sequence[str]) -> str:
        if self._width is None:
            return "\t".join(cells)
        below = " " * (self._widths[0] + len(_GAP))
        lines, used = [""], 0
        for cell, width in zip(cells, self._widths, strict=True):
            if used + width > self._width:
                lines, used = [*lines, below], len(below)
            lines[-1] += cell.ljust(width) + _GAP
            used += width + len(_GAP)
        return "\n".join(line for text in lines for line in wrapped(text, others=below, width=self._width))


class _JsonLine(msgspec.Struct, frozen=True):
    """A letter as one line of JSON."""

    partition: int
    offset: int
    time: str | None
    attempts: int
    state: str
    errors: tuple[ValidationIssue, ...]
    source: Source | None
    first_failure: Source | None
    key_bytes: int | None
    value_bytes: int | None
    value_omitted: bool
    key_omitted: bool
    headers_omitted: bool
    headers: int
    """Their number: even the names are a producer's, and may hold anything."""
    key: str | msgspec.UnsetType | None = msgspec.UNSET
    key_base64: str | msgspec.UnsetType = msgspec.UNSET
    value: str | msgspec.UnsetType | None = msgspec.UNSET
    value_base64: str | msgspec.UnsetType = msgspec.UNSET
    headers_base64: tuple[tuple[str, str | None], ...] | msgspec.UnsetType = msgspec.UNSET


def json_line(letter: DeadLetterRecord, *, redriven: bool, with_key: bool, with_value: bool = False) -> str:
    """Return the letter as JSON; bytes that are not UTF-8 go into fields named `..._base64`."""
    line = _JsonLine(
        partition=letter.partition,
        offset=letter.offset,
        time=None if letter.timestamp is None else time_text(letter.timestamp),
        attempts=letter.attempts,
        state=_state(redriven=redriven),
        errors=letter.reason.errors if letter.reason else (),
        source=letter.reason.source if letter.reason else None,
        first_failure=letter.first_failure,
        key_bytes=_size(letter.key),
        value_bytes=_size(letter.value) if letter.omitted_bytes is None else letter.omitted_bytes,
        value_omitted=letter.omitted_bytes is not None,
        key_omitted=letter.lacks_key,
        headers_omitted=letter.lacks_headers,
        headers=len(letter.headers),
    )
    content: dict[str, object] = {}
    if with_key or with_value:
        content |= _json_bytes("key", letter.key)
    if with_value:
        content |= _json_bytes("value", letter.value)
        content["headers_base64"] = tuple((name, value and _base64(value)) for name, value in letter.headers)
    return msgspec.json.encode(msgspec.structs.replace(line, **content)).decode()


def letter_lines(letter: DeadLetterRecord, topic: str, *, redriven: bool, with_value: bool) -> Iterator[str]:
    """Yield the lines of `dlq show`."""
    reason = letter.reason
    yield f"position       {topic}:{letter.partition}:{letter.offset}"
    yield f"time           {_time_line(letter.timestamp)}"
    yield f"source         {escaped(source_text(reason.source)) if reason else _UNKNOWN}"
    if letter.first_failure is not None:
        yield f"first failure  {escaped(source_text(letter.first_failure))}"
    yield f"attempts       {letter.attempts} redrives before this failure"
    yield f"state          {_state(redriven=redriven)}"
    if letter.lacks_key:
        yield "key            omitted: too large for the topic; the source record has it"
    else:
        yield f"key            {bytes_text(letter.key) if with_value else _size_text(letter.key)}"
    if letter.omitted_bytes is not None:
        size = letter.omitted_bytes
        yield from _labelled("value", f"omitted: too large for the topic ({size} bytes); the source record has it")
    else:
        yield f"value          {_size_text(letter.value)}"
    if letter.lacks_headers:
        yield "headers        omitted: too large for the topic; the source record has them"
    if letter.headers and not with_value:
        yield f"headers        {len(letter.headers)}"
    for name, value in letter.headers if with_value else ():
        yield f"header         {escaped(name)}: {bytes_text(value)}"
    for issue in reason.errors if reason else ():
        yield from _labelled("error", escaped(f"{issue.code} at {issue.pointer or '(record)'}: {issue.message}"))
    if reason is None:
        yield "error          unknown: heartstream did not write this record"
    if with_value and letter.omitted_bytes is None:
        yield ""
        yield bytes_text(letter.value)


def _labelled(label: str, text: str) -> list[str]:
    return wrapped(text, f"{label:{_LABEL}}", " " * _LABEL)


def code_lines(codes: Counter[RejectionCode]) -> Iterator[str]:
    """Yield one line per code, most frequent first."""
    for code, count in sorted(codes.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"  {count:>9,}  {code}"


def tally_lines(tally: Tally, verb: str) -> Iterator[str]:
    """Yield the redriven letters by code and the skipped ones by reason. A letter with two codes counts in both."""
    yield f"{verb} {letters_text(tally.redriven)}"
    yield from code_lines(tally.codes)
    for reason, count in tally.skipped.items():
        yield f"skipped {letters_text(count)}: {reason.value}"


def letters_text(count: int) -> str:
    """Return a number of letters as text."""
    return "1 dead letter" if count == 1 else f"{count:,} dead letters"


def time_text(timestamp: int | None) -> str:
    """Return milliseconds since 1970 as a time in UTC; as a number if they are out of range."""
    if timestamp is None:
        return _UNKNOWN
    try:
        return datetime.fromtimestamp(timestamp / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return str(timestamp)


def _time_line(timestamp: int | None) -> str:
    if timestamp is None:
        return "none: the original record has no timestamp"
    return f"{time_text(timestamp)}, of the original record"


def source_text(source: Source) -> str:
    """Return topic, partition and offset of a record."""
    return f"{source.topic}:{source.partition}:{source.offset}"


def escaped(text: str) -> str:
    """Return the text with everything escaped that could move the cursor or end a column."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def bytes_text(content: bytes | None) -> str:
    """Return bytes as one line of text; what is not printable UTF-8 is escaped."""
    return "(none)" if content is None else escaped(content.decode("utf-8", "backslashreplace"))


def _state(*, redriven: bool) -> str:
    return "redriven" if redriven else "waiting"


def _size(content: bytes | None) -> int | None:
    return None if content is None else len(content)


def _size_text(content: bytes | None) -> str:
    return "(none)" if content is None else f"{len(content)} bytes"


def _json_bytes(name: str, content: bytes | None) -> dict[str, object]:
    if content is None:
        return {name: None}
    try:
        return {name: content.decode("utf-8")}
    except UnicodeDecodeError:
        return {f"{name}_base64": _base64(content)}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def lines(texts: Iterable[str]) -> str:
    """Join lines, each with a line break."""
    return "".join(f"{text}\n" for text in texts)
