"""File formats and compressions, by file name."""

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
    """The format of a file of records."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


class Compression(StrEnum):
    """The compression of a whole file."""

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
    """Return the compression of a file by its name."""
    return Compression(path.suffix) if path.suffix in set(Compression) else Compression.NONE


def format_of(path: Path, named: Format | None) -> Format:
    """Return the format of a file by its name, or the one that is `named`. Raises SettingsError."""
    compression = compression_of(path)
    bare = path.with_suffix("") if compression else path
    found = named or _FORMATS.get(bare.suffix.lower())
    if found is None:
        raise SettingsError((f"{path}: the name does not show the format: give --format csv, ndjson or parquet",))
    if found is Format.PARQUET and compression:
        raise SettingsError((f"{path}: Parquet is compressed internally; decompress the file first",))
    return found


Compress = Callable[[Content], Content]


def uncompressed(part: Content) -> Content:
    """Return the part unchanged."""
    return part


def compressor(compression: Compression) -> Compress:
    """Return a function that compresses parts of a file; concatenated, they are a compressed file.

    The output is deterministic: it contains no timestamp. Raises SettingsError if a library is missing.
    """
    match compression:
        case Compression.NONE:
            return uncompressed
        case Compression.GZIP:
            return lambda part: gzip.compress(part, _GZIP_LEVEL, mtime=0)
        case Compression.ZSTD:
            with files_extra():
                import pyarrow as pa  # noqa: PLC0415  # files extra only
            codec = pa.Codec("zstd")
            return lambda part: codec.compress(part, asbytes=True)
