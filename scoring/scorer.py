"""One loaded model, ready to score: risks, and what a reader must know about each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from schemas.codec import Findings, Interval, Optional, Reasons, Remarks, ScoreEncoder, input_digest, label_set_json
from schemas.errors import ArtifactError
from schemas.features import FEATURE_NAMES
from schemas.records import Details, ScoreWarning, Source, WarningCode
from scoring.answers import answers_of, check_answers
from scoring.artifact import Artifact, Manifest, load
from scoring.drift import Observer, Window
from scoring.engines import Explanation, Vector, build_engine
from scoring.golden import golden_records
from scoring.groups import GROUPS
from scoring.matrix import Matrix
from scoring.patterns import COMPLETE, PATTERNS, Patterns, missing_fields
from scoring.reasons import StrongestReasons
from scoring.uncertainty import Intervals, Lookup, Uncertainty, cells_of

RISK_DECIMALS: Final = 6
_INTERVAL_STEPS: Final = 10_000
_BITS: Final = 1 << np.arange(len(FEATURE_NAMES), dtype=np.int64)
_REMEMBERED_KINDS: Final = 4096
"""Real data has some 50; the bound keeps memory flat under made-up data."""
_LABEL_SETS: Final = tuple(label_set_json(labels) for labels in (None, (0,), (1,), (0, 1)))
_UNCERTAIN: Final = 3


class Scorer:
    """Scores batches with one verified model.

    `engine` names the way it computes ("linear", "onnx" or "sklearn"); `fallback_reason` says why it is not a fast
    one. `uncertainty` has the tables that intervals and label sets go by; `window` is what is to be shown all that is
    scored, if drift is watched; `census`, if somebody asks, is shown what files hold; `cards` and `report` are the
    artifact's. Not safe to share between threads.
    """

    def __init__(
        self,
        artifact: Artifact,
        details: Details = Details(),  # noqa: B008  # it is frozen
        window_records: int = 0,
    ) -> None:
        """Choose and prove the engine, and remember what it makes of the golden records.

        With `window_records`, drift is watched by so many records, where the artifact has a reference.
        """
        prepared = build_engine(artifact)
        self._engine, self.fallback_reason = prepared.engine, prepared.fallback_reason
        self.uncertainty: Uncertainty = prepared.uncertainty
        self._lookup = Lookup(prepared.uncertainty)
        self.details = details
        self.manifest: Manifest = artifact.manifest
        self.model = artifact.model
        self.cards, self.report = artifact.cards, artifact.report
        self._encoder = ScoreEncoder(artifact.model, artifact.manifest.threshold)
        ranges = [artifact.manifest.training_range[name] for name in FEATURE_NAMES]
        self._lowest, self._highest = np.array(ranges).T
        self._strongest = StrongestReasons(self._engine.fields)
        self._remarks: dict[int, Remarks] = {}
        self.window = _new_window(artifact, window_records)
        self.census: Observer | None = None
        try:
            found = self.explain(golden_records())
            self._golden_risks, intervals = found.risks, self.intervals(golden_records(), found)
        except Exception as error:
            raise ArtifactError(f"the model fails on golden records: {type(error).__name__}: {error}") from error
        if not are_probabilities(self._golden_risks):
            raise ArtifactError("the model gives risks outside 0 to 1 on golden records")
        if intervals is not None and not _hold(intervals, self._golden_risks):
            raise ArtifactError("the model gives intervals that do not hold the risks of golden records")
        if prepared.answers is not None:
            told = answers_of(found.log_odds, prepared.uncertainty, artifact.manifest.training_range)
            check_answers(prepared.answers, told)

    @property
    def engine(self) -> str:
        """The name of the engine in use."""
        return self._engine.name

    @classmethod
    def from_directory(
        cls,
        folder: Path,
        name: str | None = None,
        details: Details = Details(),  # noqa: B008  # it is frozen
        public_key: bytes | None = None,
        window_records: int = 0,
    ) -> Scorer:
        """Load and prove a model directory; with a key (PEM) it must be signed. Blocks for some milliseconds.

        Raises ArtifactError.
        """
        return cls(load(folder, name, public_key), details, window_records)

    def explain(self, matrix: Matrix) -> Explanation:
        """Score legal records (n, 13). The risks (n,), 0 to 1, have six decimals."""
        found = self._engine.explain(matrix)
        return msgspec.structs.replace(found, risks=np.round(found.risks, RISK_DECIMALS))

    def intervals(self, matrix: Matrix, found: Explanation) -> Intervals | None:
        """Return the 90% intervals of records (n, 13) that were scored; None where the model has none.

        Limits have four decimals, rounded outwards so that the risk lies inside.
        """
        if found.log_odds is None:
            return None
        return _outwards(self._lookup.intervals(found.log_odds, cells_of(matrix)))

    def risks(self, matrix: Matrix) -> Vector:
        """Score legal records (n, 13); returns risks (n,), 0 to 1, to six decimals."""
        return self.explain(matrix).risks

    def is_sound(self) -> bool:
        """Say whether the model still makes of the golden records what it made when it was loaded."""
        try:
            return bool(np.array_equal(self.risks(golden_records()), self._golden_risks))
        except Exception:  # noqa: BLE001  # a model that raises is not sound, whatever it raises
            return False

    def remarks(self, matrix: Matrix, patterns: Patterns) -> list[Remarks]:
        """Return what is missing and out of the training range in each record (n, 13), encoded once for each kind.

        `patterns` (n,) are the records' missing patterns.
        """
        outside = (matrix < self._lowest) | (matrix > self._highest)
        kinds = patterns + PATTERNS * (outside @ _BITS)
        known = self._remarks
        return [known.get(kind) or self._new_remarks(kind) for kind in kinds.tolist()]

    def _new_remarks(self, kind: int) -> Remarks:
        outside, pattern = divmod(kind, PATTERNS)
        missing = missing_fields(pattern)
        imputed = missing if self._engine.imputes else ()
        warnings = (
            *(ScoreWarning(WarningCode.IMPUTED, name) for name in imputed),
            *(
                ScoreWarning(WarningCode.OUT_OF_TRAINING_RANGE, name)
                for j, name in enumerate(FEATURE_NAMES)
                if outside >> j & 1
            ),
        )
        if len(self._remarks) >= _REMEMBERED_KINDS:
            self._remarks.clear()
        used = None if self._engine.imputes else "+".join(missing) or COMPLETE
        measure_next = self._lookup.measure_next(pattern) if self.details.measure_next else msgspec.UNSET
        remarks = self._remarks[kind] = self._encoder.remarks(used, missing, warnings, measure_next)
        return remarks

    def encode(
        self,
        patient_ids: Sequence[str],
        matrix: Matrix,
        found: Explanation,
        sources: Sequence[Source | None],
        values: Iterable[bytes | None],
    ) -> list[bytes]:
        """Write one score a record as JSON; `values` are the records as they came."""
        return self._encoder.encode(patient_ids, self._findings(matrix, found), sources, self._digests(values))

    def encode_lines(
        self, patient_ids: Sequence[str], matrix: Matrix, found: Explanation, values: Iterable[bytes | None]
    ) -> bytes:
        """Write one score a record that came from no topic: the same JSON, a line each. A row of a table is None."""
        return self._encoder.encode_lines(patient_ids, self._findings(matrix, found), self._digests(values))

    def _digests(self, values: Iterable[bytes | None]) -> Iterable[str | Optional]:
        if not self.details.input_digest:
            return repeat(msgspec.UNSET)
        return (None if value is None else input_digest(value) for value in values)

    def _findings(self, matrix: Matrix, found: Explanation) -> Findings:
        cells = cells_of(matrix)
        return Findings(
            found.risks.tolist(),
            self.remarks(matrix, cells // len(GROUPS)),
            self._intervals(found, cells),
            self._sampling_intervals(found, cells),
            self._label_sets(found.risks, cells),
            self._reasons(found),
        )

    def _intervals(self, found: Explanation, cells: Patterns) -> Sequence[Interval | Optional]:
        if not self.details.interval:
            return [msgspec.UNSET] * len(cells)
        told = None if found.log_odds is None else _outwards(self._lookup.intervals(found.log_odds, cells))
        return [None] * len(cells) if told is None else _pairs(told)

    def _sampling_intervals(self, found: Explanation, cells: Patterns) -> Sequence[Interval | msgspec.UnsetType]:
        """Return the part of the intervals that the training sample accounts for, where it is not all of them."""
        told: list[Interval | msgspec.UnsetType] = [msgspec.UNSET] * len(cells)
        rows = np.flatnonzero(cells >= len(GROUPS))
        if self.details.interval and found.log_odds is not None and len(rows):
            part = _outwards(self._lookup.sampling_intervals(found.log_odds[rows], cells[rows]))
            for row, pair in zip(rows.tolist(), () if part is None else _pairs(part), strict=part is not None):
                told[row] = pair
        return told

    def _label_sets(self, risks: Vector, cells: Patterns) -> Sequence[msgspec.Raw | msgspec.UnsetType]:
        if not self.details.label_set:
            return [msgspec.UNSET] * len(risks)
        limits = self._lookup.label_limits(cells)
        sets = (risks <= limits[:, 0]) + 2 * (risks >= limits[:, 1])
        # A risk between two limits that do not overlap is typical of neither label: that is not certainty.
        sets[sets == 0] = _UNCERTAIN
        sets[np.isnan(limits[:, 0])] = 0
        return [_LABEL_SETS[place] for place in sets.tolist()]

    def _reasons(self, found: Explanation) -> Sequence[Reasons | Optional]:
        count, contributions = self.details.reasons, found.contributions
        if contributions is None or not count:
            return [None if count else msgspec.UNSET] * len(found.risks)
        return self._strongest.of(contributions, count)


def _outwards(found: Intervals | None) -> Intervals | None:
    if found is None:
        return None
    low = np.floor(found.low * _INTERVAL_STEPS) / _INTERVAL_STEPS
    return Intervals(low, np.ceil(found.high * _INTERVAL_STEPS) / _INTERVAL_STEPS)


def _pairs(found: Intervals) -> list[Interval]:
    return list(zip(found.low.tolist(), found.high.tolist(), strict=True))


def _new_window(artifact: Artifact, records: int) -> Window | None:
    if artifact.reference is None or not records:
        return None
    return Window(artifact.reference, artifact.model.name, artifact.manifest.training_range, records)


def _hold(intervals: Intervals, risks: Vector) -> bool:
    """Say whether each interval has limits, and its risk between them."""
    within = (intervals.low >= 0) & (intervals.low <= risks) & (risks <= intervals.high) & (intervals.high <= 1)
    return bool(within.all())


def are_probabilities(risks: Vector) -> bool:
    """Say whether all risks lie between 0 and 1; NaN does not."""
    return not len(risks) or bool(risks.min() >= 0 and risks.max() <= 1)
