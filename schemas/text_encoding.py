"""Text of any encoding as UTF-8: a byte order mark is detected, other encodings must be given."""

from __future__ import annotations

import codecs
from typing import Final, Protocol

from schemas.errors import DataError

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UTF8: Final = "utf-8"
_MARK_BYTES, _PEEK_BYTES = 4, 64
_NUL_SHARE: Final = 4


class Readable(Protocol):
    """A binary stream."""

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes; nothing at the end."""
        ...


class Utf8Text:
    """A text of any encoding, read as UTF-8 without a byte order mark. UTF-8 itself is passed through unchecked.

    `encoding` is the encoding of the text; `skipped` is the size of the byte order mark if that is UTF-8.
    """

    def __init__(self, content: Readable, encoding: str | None) -> None:
        """Read the first bytes. Raises DataError if they look like UTF-16 without a byte order mark."""
        self._content, self.skipped = content, 0
        self._first = _peeked(content)
        mark, found = next((each for each in _MARKS if self._first.startswith(each[0])), (b"", None))
        self.encoding = codecs.lookup(encoding or found or _UTF8).name
        self._decoder: codecs.IncrementalDecoder | None = None
        if self.encoding in {_UTF8, "utf-8-sig"}:
            self.encoding = _UTF8
            self.skipped = len(mark) if found == _UTF8 else 0
            self._first = self._first[self.skipped :]
            _refuse_utf16(self._first)
        else:
            self._decoder = codecs.getincrementaldecoder(self.encoding)()
        self._started = False

    @property
    def notes(self) -> list[str]:
        """Describe the detected encoding."""
        return [] if self.encoding == _UTF8 else [f"encoded in {self.encoding}"]

    def read(self, size: int = -1, /) -> bytes:
        """Read some text, nothing at the end. Raises DataError if it cannot be decoded."""
        while True:
            part, self._first = self._first or self._content.read(size), b""
            if self._decoder is None:
                return part
            try:
                text = self._decoder.decode(part, final=not part)
            except UnicodeError as error:
                raise DataError(f"it is not valid {self.encoding}; set --encoding") from error
            if text and not self._started:
                self._started, text = True, text.removeprefix("\ufeff")
            if text or not part:
                return text.encode(errors="replace")


def _peeked(content: Readable) -> bytes:
    """Read enough bytes for a byte order mark: a pipe may return fewer than requested."""
    first = b""
    while len(first) < _MARK_BYTES and (part := content.read(_PEEK_BYTES - len(first))):
        first += part
    return first


def _refuse_utf16(first: bytes) -> None:
    """Raise DataError if nearly every other byte is 0, as in UTF-16 of Latin letters."""
    for start, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        here, other = first[start::2], first[1 - start :: 2]
        if len(here) >= _NUL_SHARE and here.count(0) * _NUL_SHARE > len(here) * (_NUL_SHARE - 1) and 0 not in other:
            raise DataError(f"it looks like UTF-16 without a byte order mark; set --encoding {name}")
