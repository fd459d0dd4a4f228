"""The parts of scores other than risks: missing fields and warnings, intervals, label sets and reasons, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
import numpy as np

from schemas.codec import EncodedMetadata, Interval, Optional, Reasons, ScoreBuilder, ScoreColumns, label_set_json
from schemas.records import Details, ScoreWarning, WarningCode
from scoring.compiled_table import CompiledTable
from scoring.engines import Engine, Explanation, Vector
from scoring.features import Mask, Matrix
from scoring.missingness import COMPLETE, Patterns
from scoring.model_artifact import Artifact
from scoring.reasons import StrongestReasons
from scoring.uncertainty import Intervals, Lookup

_INTERVAL_STEPS: Final = 10_000
_REMEMBERED_KINDS: Final = 4096
"""Real data has about 50; the limit bounds memory with artificial data."""
LABEL_SETS: Final = tuple(label_set_json(labels) for labels in (None, (0,), (1,), (0, 1)))
_UNCERTAIN: Final = 3
_Absent = TypeVar("_Absent", None, msgspec.UnsetType)


class ScoreArrays(msgspec.Struct, frozen=True):
    """The parts of n scores as arrays; None for what is turned off.

    Limits of intervals are not rounded, and NaN where a record has none. `label_sets` (n,) are places in `LABEL_SETS`.
    """

    patterns: Patterns
    intervals: Intervals | None
    sampling_intervals: Intervals | None
    label_sets: Patterns | None


class ScoreDetails:
    """Adds the configured details to scored batches. Not thread-safe."""

    def __init__(
        self, artifact: Artifact, engine: Engine, lookup: Lookup, details: Details, compiled: CompiledTable
    ) -> None:
        self.builder = ScoreBuilder(artifact.model, artifact.manifest.threshold)
        self.configured, self.reason_fields = details, engine.fields
        self._engine, self._lookup = engine, lookup
        self._compiled, self._names, self._patterns = compiled, compiled.table.names, compiled.patterns
        self._bits = 1 << np.arange(len(self._names), dtype=np.int64)
        self._width = len(self._patterns.optional)
        self._kinds_fit = self._width + len(self._names) < np.iinfo(np.int64).bits
        self.ranges = [artifact.manifest.training_range[name] for name in self._names]
        self._lowest, self._highest = np.array(self.ranges).T
        self._strongest = StrongestReasons(engine.fields)
        self._metadata: dict[int, EncodedMetadata] = {}

    def arrays(self, matrix: Matrix, found: Explanation) -> ScoreArrays:
        """Return the parts of scored records (n, fields)."""
        patterns = self._patterns.of(matrix)
        cells = self._compiled.cells(patterns, matrix)
        return ScoreArrays(
            patterns, self._intervals(found, cells), self._sampling(found, cells), self._label_sets(found.risks, cells)
        )

    def columns(self, matrix: Matrix, found: Explanation) -> ScoreColumns:
        """Return the columns of scored records (n, fields)."""
        arrays = self.arrays(matrix, found)
        unset = [msgspec.UNSET] * len(matrix)
        return ScoreColumns(
            found.risks.tolist(),
            self.metadata(matrix, arrays.patterns),
            unset if arrays.intervals is None else _pairs(arrays.intervals, None),
            unset if arrays.sampling_intervals is None else _pairs(arrays.sampling_intervals, msgspec.UNSET),
            unset if arrays.label_sets is None else [LABEL_SETS[place] for place in arrays.label_sets.tolist()],
            self._reasons(found),
        )

    def metadata(self, matrix: Matrix, patterns: Patterns) -> list[EncodedMetadata]:
        """Return missing fields and warnings of each record (n, fields), encoded once per distinct combination.

        `patterns` (n,) are the records' missing patterns.
        """
        outside = (matrix < self._lowest) | (matrix > self._highest)
        known = self._metadata
        return [known.get(kind) or self._new_metadata(kind) for kind in self._kinds(patterns, outside)]

    def metadata_of(self, row: Matrix) -> EncodedMetadata:
        """Return the same for one record (1, fields)."""
        return self.metadata(row, self._patterns.of(row))[0]

    def _kinds(self, patterns: Patterns, outside: Mask) -> list[int]:
        """Return one number for each combination of missing fields and fields out of range."""
        if self._kinds_fit:
            kinds: list[int] = (patterns + ((outside @ self._bits) << self._width)).tolist()
            return kinds
        rows = np.packbits(outside, axis=1, bitorder="little")
        pairs = zip(patterns.tolist(), rows, strict=True)
        return [pattern + (int.from_bytes(row.tobytes(), "little") << self._width) for pattern, row in pairs]

    def _new_metadata(self, kind: int) -> EncodedMetadata:
        outside, pattern = divmod(kind, 1 << self._width)
        missing = self._patterns.fields(pattern)
        is_derived = self._engine.has_submodels and self._patterns.row(pattern) == self._patterns.count
        imputed = missing if self._engine.imputes or is_derived else ()
        warnings = (
            *(ScoreWarning(WarningCode.IMPUTED, name) for name in imputed),
            *(
                ScoreWarning(WarningCode.OUT_OF_TRAINING_RANGE, name)
                for j, name in enumerate(self._names)
                if outside >> j & 1
            ),
        )
        if len(self._metadata) >= _REMEMBERED_KINDS:
            self._metadata.clear()
        used = "+".join(missing) or COMPLETE if self._engine.has_submodels and not is_derived else None
        measure_next = self._lookup.measure_next(pattern) if self.configured.measure_next else msgspec.UNSET
        metadata = self._metadata[kind] = self.builder.metadata(used, missing, warnings, measure_next)
        return metadata

    def _intervals(self, found: Explanation, cells: Patterns) -> Intervals | None:
        if not self.configured.interval:
            return None
        pairs = None if found.log_odds is None else self._lookup.intervals(found.log_odds, cells)
        return _no_intervals(len(cells)) if pairs is None else pairs

    def _sampling(self, found: Explanation, cells: Patterns) -> Intervals | None:
        """Return the part of the intervals due to the training sample; records with all fields have none."""
        rows = np.flatnonzero(cells >= len(self._compiled.groups))
        if not self.configured.interval or found.log_odds is None or not len(rows):
            return None
        part = self._lookup.sampling_intervals(found.log_odds[rows], cells[rows])
        if part is None:
            return None
        pairs = _no_intervals(len(cells))
        pairs.low[rows], pairs.high[rows] = part
        return pairs

    def _label_sets(self, risks: Vector, cells: Patterns) -> Patterns | None:
        if not self.configured.label_set:
            return None
        limits = self._lookup.label_limits(cells)
        sets: Patterns = (risks <= limits[:, 0]) + 2 * (risks >= limits[:, 1])
        # A risk between limits that do not overlap is typical of neither label, which means uncertain.
        sets[sets == 0] = _UNCERTAIN
        sets[np.isnan(limits[:, 0])] = 0
        return sets

    def _reasons(self, found: Explanation) -> Sequence[Reasons | Optional]:
        count, contributions = self.configured.reasons, found.contributions
        if contributions is None or not count:
            return [None if count else msgspec.UNSET] * len(found.risks)
        return self._strongest.of(contributions, count)


def outwards(found: Intervals) -> Intervals:
    """Round limits outwards to four decimals, so that the risk lies inside."""
    low = np.floor(found.low * _INTERVAL_STEPS) / _INTERVAL_STEPS
    return Intervals(low, np.ceil(found.high * _INTERVAL_STEPS) / _INTERVAL_STEPS)


def _no_intervals(count: int) -> Intervals:
    return Intervals(np.full(count, np.nan), np.full(count, np.nan))


def _pairs(found: Intervals, absent: _Absent) -> list[Interval | _Absent]:
    """Return the limits of each interval, rounded outwards; `absent` where a record has none."""
    low, high = outwards(found)
    pairs: list[Interval | _Absent] = list(zip(low.tolist(), high.tolist(), strict=True))
    for row in np.flatnonzero(np.isnan(low)).tolist():
        pairs[row] = absent
    return pairs
