"""The only encoder and decoder of scores, dead letters and outcomes.

Optimized for speed: one C call per score. `schemas.record_format` decodes patient records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import sha256
from itertools import chain, repeat
from typing import Final, overload

import msgspec

from schemas.records import (
    DeadLetter,
    KnownOutcome,
    ModelRef,
    Reason,
    Score,
    ScoreWarning,
    Source,
)
from schemas.wire_format import strip_prefix

_encoder: Final = msgspec.json.Encoder()
_encode: Final = _encoder.encode
_encode_lines: Final = _encoder.encode_lines
_DIGEST_DIGITS: Final = 16
UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises on foreign bytes: other than expected, not UTF-8, nested too deep."""
Interval = tuple[float, float]
Reasons = Sequence[msgspec.Raw]
Optional = msgspec.UnsetType | None


class EncodableScore(msgspec.Struct, gc=False):
    """A `Score` whose common parts are already JSON, ready for `encode_scores`; its fields are in `Score`'s order.

    Raw JSON is written unchanged: `label` contains the members that follow it, up to `measure_next`.
    """

    patient_id: str
    risk: float
    label: msgspec.Raw
    interval: Interval | Optional
    sampling_interval: Interval | msgspec.UnsetType
    label_set: msgspec.Raw | msgspec.UnsetType
    reasons: Reasons | Optional
    input_digest: str | Optional
    source: Source | None


EncodedMetadata = tuple[msgspec.Raw, msgspec.Raw]
"""The part that scores with the same missing fields and warnings share, from `label` to `measure_next`, by label."""


class _Common(msgspec.Struct):
    """The part of a `Score` that `EncodedMetadata` holds, in its order."""

    label: int
    threshold: float
    model: ModelRef
    pattern: str | None
    missing: tuple[str, ...]
    warnings: tuple[ScoreWarning, ...]
    measure_next: tuple[str, ...] | Optional


_LABEL: Final = len(b'{"label":')


def input_digest(value: bytes) -> str:
    """Return the digest of a record's bytes."""
    return sha256(value).hexdigest()[:_DIGEST_DIGITS]


def label_set_json(labels: tuple[int, ...] | None) -> msgspec.Raw:
    """Encode a label set, once for all the records that share it."""
    return msgspec.Raw(_encode(labels))


def reason_json(reason: Reason) -> msgspec.Raw:
    """Encode a reason, once for all records that have it."""
    return msgspec.Raw(_encode(reason))


def reason_start(field: str) -> bytes:
    """Encode the start of a field's reasons, up to the number."""
    return _encode(Reason(field, 0.0)).removesuffix(b"0.0}")


class ScoreColumns(msgspec.Struct, frozen=True):
    """The scores of a batch as columns, one entry per record. Risks are 0 to 1."""

    risks: list[float]
    metadata: list[EncodedMetadata]
    intervals: Sequence[Interval | Optional]
    sampling_intervals: Sequence[Interval | msgspec.UnsetType]
    label_sets: Sequence[msgspec.Raw | msgspec.UnsetType]
    reasons: Sequence[Reasons | Optional]

    def require_length(self, records: int) -> None:
        """Raise ValueError unless each column has one entry per record: `map` would silently stop at the shortest."""
        if {len(getattr(self, name)) for name in self.__struct_fields__} != {records}:
            raise ValueError("every column must have one entry per record")


class ScoreBuilder:
    """Builds scores of one model at one threshold. Their bytes equal those of encoding a `Score`."""

    def __init__(self, model: ModelRef, threshold: float) -> None:
        self.model = model
        self.threshold = threshold

    def metadata(
        self,
        pattern: str | None,
        missing: tuple[str, ...],
        warnings: tuple[ScoreWarning, ...],
        measure_next: tuple[str, ...] | Optional,
    ) -> EncodedMetadata:
        """Encode the part that scores with the same missing fields and warnings share."""
        healthy, diseased = (
            msgspec.Raw(
                _encode(_Common(label, self.threshold, self.model, pattern, missing, warnings, measure_next))[_LABEL:-1]
            )
            for label in (0, 1)
        )
        return healthy, diseased

    def scores(
        self,
        patient_ids: Sequence[str],
        columns: ScoreColumns,
        sources: Iterable[Source | None] = repeat(None),
        digests: Iterable[str | Optional] = repeat(msgspec.UNSET),
    ) -> list[EncodableScore]:
        """Build one score per record; `digests` are those of the inputs. Raises ValueError if lengths differ.

        Maps and comprehensions, because a loop of statements takes 50% longer.
        """
        columns.require_length(len(patient_ids))
        threshold = self.threshold
        scores = list(
            map(
                EncodableScore,
                patient_ids,
                columns.risks,
                [its[risk >= threshold] for its, risk in zip(columns.metadata, columns.risks, strict=True)],
                columns.intervals,
                columns.sampling_intervals,
                columns.label_sets,
                columns.reasons,
                digests,
                sources,
            )
        )
        if len(scores) != len(patient_ids):
            raise ValueError("there must be one digest and one source per record")
        return scores


class ScoreBatch:
    """The scores of a batch, which are built, and encoded, only when that is needed."""

    def __init__(
        self,
        rows: range,
        build: Callable[[], Sequence[EncodableScore]],
        encode: Callable[[], list[bytes] | None],
        encode_lines: Callable[[], bytes | None],
    ) -> None:
        """`encode` returns the JSON of each score, `encode_lines` that of all as lines.

        Both return None if what `build` returns has to be encoded.
        """
        self.rows = rows
        self._build, self._encode, self._encode_lines = build, encode, encode_lines

    @cached_property
    def scores(self) -> Sequence[EncodableScore]:
        """The scores as objects."""
        return self._build()

    @cached_property
    def encoded(self) -> list[bytes]:
        """The scores as JSON."""
        encoded = self._encode()
        return list(map(_encode, self.scores)) if encoded is None else encoded

    def lines(self) -> bytes:
        """Return all scores as lines of JSON. They are not kept."""
        lines = self._encode_lines()
        return _joined(self.encoded) if lines is None else lines


class LazyScores(Sequence[EncodableScore]):
    """All scores of a batch, or consecutive ones."""

    def __init__(self, batch: ScoreBatch, rows: range) -> None:
        """`rows` has no gaps."""
        self._batch, self._rows = batch, rows

    def __len__(self) -> int:
        """Count the scores."""
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> EncodableScore: ...
    @overload
    def __getitem__(self, index: slice) -> LazyScores: ...
    def __getitem__(self, index: int | slice) -> EncodableScore | LazyScores:
        """Return one score, or a part of them that is still not built."""
        rows = self._rows[index]
        return LazyScores(self._batch, rows) if isinstance(rows, range) else self._batch.scores[rows]

    def __iter__(self) -> Iterator[EncodableScore]:
        """Yield the scores."""
        return iter(self._batch.scores[self._rows.start : self._rows.stop])

    def encoded(self) -> list[bytes]:
        """Return each score as JSON."""
        return self._batch.encoded[self._rows.start : self._rows.stop]

    def lines(self) -> bytes:
        """Return each score as a line of JSON."""
        return self._batch.lines() if self._rows == self._batch.rows else _joined(self.encoded())


def _joined(lines: Iterable[bytes]) -> bytes:
    return b"".join(chain.from_iterable(zip(lines, repeat(b"\n"))))


def encode_score(score: EncodableScore) -> bytes:
    """Encode one score as JSON."""
    return _encode(score)


def encode_scores(scores: Iterable[EncodableScore]) -> list[bytes]:
    """Encode each score as JSON."""
    return scores.encoded() if isinstance(scores, LazyScores) else list(map(_encode, scores))


def encode_score_lines(scores: Iterable[EncodableScore]) -> bytes:
    """Encode each score as a line of JSON: the same bytes, in one call."""
    if isinstance(scores, LazyScores):
        return scores.lines()
    return _encode_lines(scores)


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Encode a dead letter as JSON."""
    return _encode(letter)


def decode_score(value: bytes) -> Score:
    """Decode a score, as a consumer of the scores topic does, with or without a schema registry prefix.

    Raises one of `UNDECODABLE` on anything else.
    """
    return msgspec.json.decode(strip_prefix(value), type=Score)


def decode_dead_letter(value: bytes) -> DeadLetter:
    """Decode the dead letter header; raises one of `UNDECODABLE` on anything else."""
    return msgspec.json.decode(value, type=DeadLetter)


def encode_source(source: Source) -> bytes:
    """Encode the source of a record, for the header of a redriven record."""
    return _encode(source)


def decode_source(value: bytes) -> Source:
    """Decode that header; raises one of `UNDECODABLE` on anything else."""
    return msgspec.json.decode(value, type=Source)


def decode_known_outcome(value: bytes) -> KnownOutcome:
    """Decode a message of the outcomes topic; raises one of `UNDECODABLE` on anything else."""
    return msgspec.json.decode(value, type=KnownOutcome)
