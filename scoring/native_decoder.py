"""Reads batches of records with the native extension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from schemas.records import PATIENT_ID_MAX_CHARS, RECORD_MAX_BYTES
from schemas.tables.feature_table import Feature, FeatureTable
from scoring.extension import Extension, Field
from scoring.features import Mask, Matrix
from scoring.text_column import TextColumn


class NativeDecoder:
    """Reads records of a feature table. Not thread-safe."""

    def __init__(self, extension: Extension, table: FeatureTable) -> None:
        self._width = len(table.features)
        self._decoder = extension.Decoder(list(map(_field, table.features)), RECORD_MAX_BYTES, PATIENT_ID_MAX_CHARS)

    def decode(self, values: Sequence[bytes | None]) -> tuple[Matrix, list[str | None], list[int]]:
        """Read those records that are certainly valid and name no coding.

        Returns their numbers (n, fields) and ids, and the positions of the others, which have neither.
        """
        matrix = np.empty((len(values), self._width))
        ids, others = self._decoder.decode(list(values), matrix)
        return matrix, ids, others

    def decode_lines(self, block: bytes) -> tuple[Matrix, TextColumn, Mapping[int, bytes]]:
        """Read lines in the same way, skipping blank ones; returns the others by position."""
        most = block.count(b"\n") + 1
        matrix, starts, ends = np.empty((most, self._width)), np.empty(most, np.int64), np.empty(most, np.int64)
        count, others = self._decoder.decode_lines(block, matrix, starts, ends)
        lines = {position: block[start:end] for position, start, end in others}
        return matrix[:count], TextColumn(block, starts[:count], ends[:count]), lines

    def check(self, matrix: Matrix) -> Mask:
        """Replace numbers that mean "not measured" by NaN, in place; returns which rows (n,) are valid."""
        legal = np.ones(len(matrix), dtype=np.bool_)
        legal[self._decoder.check(matrix)] = False
        return legal


def _field(feature: Feature) -> Field:
    low, high = feature.interval
    codes = [code for code, _ in feature.codes]
    return Field(
        feature.name,
        feature.labels,
        feature.missing,
        low,
        high,
        is_whole=feature.whole or bool(codes),
        is_required=feature.required,
        gaps=tuple((below, above) for below, above in pairwise(codes) if above - below > 1),
    )
