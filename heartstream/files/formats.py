"""Formats and compressions of files, told by their names."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

from heartstream.optional_deps import files_extra
from schemas.errors import SettingsError

PIPE: Final = Path("-")
"""Standard input or output."""
_GZIP_LEVEL: Final = 4

Content = bytes | memoryview


class Format(StrEnum):
    """How records are written in a file."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


class Compression(StrEnum):
    """How a file is compressed as a whole."""

    NONE = ""
    GZIP = ".gz"
    ZSTD = ".zst"


_FORMATS: Final = {
    ".csv": Format.CSV,
    ".tsv": Format.CSV,
    ".data": Format.CSV,
    ".dat": Format.CSV,
    ".ndjson": Format.NDJSON,
    ".jsonl": Format.NDJSON,
    ".parquet": Format.PARQUET,
}


def compression_of(path: Path) -> Compression:
    """Tell how a file of this name is compressed."""
    return Compression(path.suffix) if path.suffix in set(Compression) else Compression.NONE


def format_of(path: Path, named: Format | None) -> Format:
    """Tell the format of a file by its name, unless it is `named`. Raises SettingsError."""
    compression = compression_of(path)
    bare = path.with_suffix("") if compression else path
    found = named or _FORMATS.get(bare.suffix.lower())
    if found is None:
        raise SettingsError((f"cannot tell the format of {path} by its name: give --format csv, ndjson or parquet",))
    if found is Format.PARQUET and compression:
        raise SettingsError((f"{path}: a Parquet file is compressed inside; decompress it first",))
    return found


Pack = Callable[[Content], Content]


def as_it_is(part: Content) -> Content:
    """Compress nothing."""
    return part


def compressor(compression: Compression) -> Pack:
    """Return what compresses a part of a file so that the parts, one after the other, are a compressed file.

    The same bytes give the same bytes: no time is in them. Raises SettingsError where a library is missing.
    """
    match compression:
        case Compression.NONE:
            return as_it_is
        case Compression.GZIP:
            return lambda part: gzip.compress(part, _GZIP_LEVEL, mtime=0)
        case Compression.ZSTD:
            with files_extra():
                import pyarrow as pa  # noqa: PLC0415  # files extra only
            codec = pa.Codec("zstd")
            return lambda part: codec.compress(part, asbytes=True)
