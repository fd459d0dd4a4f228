"""Writes the scores of batches with the native extension."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from schemas.codec import EncodableScore, LazyScores, Optional, ScoreBatch, reason_start
from scoring.details import LABEL_SETS, ScoreDetails
from scoring.engines import Explanation
from scoring.extension import Columns, Extension
from scoring.pipeline import DecodedBatch
from scoring.text_column import TextColumn

Metadata = Callable[[int], tuple[bytes, bytes]]
Written = TypeVar("Written", bytes, list[bytes])


class NativeEncoder:
    """Writes scores of one model. Not thread-safe."""

    def __init__(self, extension: Extension, details: ScoreDetails) -> None:
        self._details = details
        self._encoder = extension.Encoder(
            details.ranges,
            details.builder.threshold,
            list(map(bytes, LABEL_SETS)),
            list(map(reason_start, details.reason_fields)),
            details.configured.reasons,
        )

    def scores(
        self,
        batch: DecodedBatch,
        found: Explanation,
        digests: Iterable[str | Optional],
        build: Callable[[], Sequence[EncodableScore]],
    ) -> LazyScores:
        """Return scores that are written when they are encoded, and that `build` builds where objects are needed."""
        encode = partial(self._encode, self._encoder.encode, batch, found, digests)
        encode_lines = partial(self._encode, self._encoder.encode_lines, batch, found, digests)
        has_more = batch.sources is not None or self._details.configured.input_digest
        rows = range(len(batch.positions))
        return LazyScores(ScoreBatch(rows, build, encode, _nothing if has_more else encode_lines), rows)

    def _encode(
        self,
        write: Callable[[Columns, Metadata], Written],
        batch: DecodedBatch,
        found: Explanation,
        digests: Iterable[str | Optional],
    ) -> Written | None:
        """Return the scores as JSON, None if Python has to write them."""
        columns = self._columns(batch, found, digests)

        def metadata(row: int) -> tuple[bytes, bytes]:
            healthy, diseased = self._details.metadata_of(columns.matrix[row : row + 1])
            return bytes(healthy), bytes(diseased)

        try:
            return write(columns, metadata)
        except (ValueError, OverflowError):
            return None

    def _columns(self, batch: DecodedBatch, found: Explanation, digests: Iterable[str | Optional]) -> Columns:
        arrays, configured = self._details.arrays(batch.matrix, found), self._details.configured
        sources, positions, ids = batch.sources, batch.positions, batch.patient_ids
        if sources is not None and len(sources) != len(positions):
            sources = [sources[position] for position in positions]
        return Columns(
            ids if isinstance(ids, TextColumn) else list(ids),
            batch.matrix,
            found.risks,
            arrays.intervals,
            arrays.sampling_intervals,
            arrays.label_sets,
            found.contributions if configured.reasons else None,
            [digest or None for digest, _ in zip(digests, positions, strict=False)]
            if configured.input_digest
            else None,
            None if sources is None else list(sources),
        )


def _nothing() -> None:
    """Have scores with digests or sources written one by one: no file has any but by a setting."""
