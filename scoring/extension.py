"""The optional native extension, `heartstream_native`: its interface, and whether it can be used.

It reads records and writes scores, a batch in one call. The Python code is the reference: the extension leaves to it
what it does not read, a scorer uses it only after it has given the same bytes for the reference cases, and all
arithmetic of a model stays in numpy. Decision 69 has the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final, Literal, Protocol, cast

import msgspec

from scoring.features import Matrix
from scoring.missingness import Patterns
from scoring.text_column import Offsets, TextColumn

NativeMode = Literal["auto", "off", "required"]
"""Whether scorers use the extension: where it is installed, never, or always."""
EXTENSION_VERSION: Final = "0.1.0"
"""The version that belongs to this code: another one may write other bytes."""
_MOST_FIELDS: Final = 256


class Field(msgspec.Struct, frozen=True):
    """One field of a record; see `schemas.tables.feature_table.Feature`.

    `gaps` are open intervals between its valid codes; `labels` are codes that are texts.
    """

    name: str
    labels: tuple[str, ...]
    missing: tuple[int, ...]
    low: float
    high: float
    is_whole: bool
    is_required: bool
    gaps: tuple[tuple[float, float], ...]


class Columns(msgspec.Struct, frozen=True):
    """The scores of n records as columns. A column that is None is left out of the scores.

    Intervals are lower and upper limits, not rounded yet, and NaN where a record has none. `contributions` are
    (n, fields with contributions).
    """

    patient_ids: list[str] | TextColumn
    matrix: Matrix
    risks: Matrix
    intervals: tuple[Matrix, Matrix] | None
    sampling_intervals: tuple[Matrix, Matrix] | None
    label_sets: Patterns | None
    contributions: Matrix | None
    digests: list[str | None] | None
    sources: list[object] | None


class Decoder(Protocol):
    """Reads records of one feature table. Not thread-safe."""

    def decode(self, values: list[bytes | None], matrix: Matrix) -> tuple[list[str | None], list[int]]:
        """Read those records that are certainly valid and name no coding, into `matrix` (n, fields).

        Returns the id of each record, None for those that were not read, and the positions of the latter.
        """
        ...

    def decode_lines(
        self, block: bytes, matrix: Matrix, starts: Offsets, ends: Offsets
    ) -> tuple[int, list[tuple[int, int, int]]]:
        """Read lines as `decode` reads records, skipping blank ones; ids are where `starts` and `ends` say.

        Returns the number of lines, and position, start and end of each that was not read. The arrays have a row for
        every line. Other threads run meanwhile.
        """
        ...

    def check(self, matrix: Matrix) -> list[int]:
        """Replace numbers that mean "not measured" by NaN, in place; returns the rows that are not valid."""
        ...


class Encoder(Protocol):
    """Writes scores of one model. Not thread-safe."""

    def encode(self, columns: Columns, metadata: Callable[[int], tuple[bytes, bytes]]) -> list[bytes]:
        """Return the JSON of each score.

        `metadata` returns the members that scores with the same missing fields and warnings share, for a row. Raises
        ValueError or OverflowError if a number is not one that the extension writes.
        """
        ...

    def encode_lines(self, columns: Columns, metadata: Callable[[int], tuple[bytes, bytes]]) -> bytes:
        """Return the same as lines, for columns without digests and sources. Other threads run meanwhile."""
        ...


class Extension(Protocol):
    """The functions of the module."""

    __version__: str

    def Decoder(self, fields: Sequence[Field], most_bytes: int, most_id_chars: int) -> Decoder:  # noqa: N802  # a class
        """Compile a decoder for the fields of a feature table."""
        ...

    def Encoder(  # noqa: N802  # a class
        self,
        ranges: Sequence[tuple[float, float]],
        threshold: float,
        label_sets: Sequence[bytes],
        reasons: Sequence[bytes],
        reason_count: int,
    ) -> Encoder:
        """Compile an encoder.

        `ranges` are the training ranges of all fields; `label_sets` are the texts that columns refer to, `reasons` the
        JSON of a reason up to its number, by field.
        """
        ...


class UnavailableError(Exception):
    """The extension cannot be used; the text says why."""


def load_extension(mode: NativeMode, fields: int) -> Extension:
    """Return the extension for a table with this many fields. Raises UnavailableError."""
    if mode == "off":
        raise UnavailableError("it is turned off")
    if fields > _MOST_FIELDS:
        raise UnavailableError(f"the feature table has more than {_MOST_FIELDS} fields")
    try:
        extension = cast("Extension", import_module("heartstream_native"))
    except ImportError:
        raise UnavailableError("heartstream-native is not installed") from None
    if extension.__version__ != EXTENSION_VERSION:
        raise UnavailableError(f"heartstream-native {extension.__version__} is installed, not {EXTENSION_VERSION}")
    return extension
