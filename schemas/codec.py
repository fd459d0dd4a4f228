"""The only decoder and the only encoder of what is on the wire.

Written for speed: one C call a record in each direction. What the fast decoder does not take is left to
`schemas.validation.validate`, which knows why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from itertools import repeat
from typing import Final

import msgspec

from schemas.codings import CODINGS
from schemas.features import FEATURE_NAMES
from schemas.records import (
    PATIENT_ID_MAX_CHARS,
    RECORD_MAX_BYTES,
    DeadLetter,
    KnownOutcome,
    ModelRef,
    PatientRecord,
    Reason,
    Score,
    ScoreWarning,
    Source,
)
from schemas.wire_format import strip_prefix

_decode: Final = msgspec.json.Decoder(PatientRecord).decode
_encoder: Final = msgspec.json.Encoder()
_encode: Final = _encoder.encode
_encode_lines: Final = _encoder.encode_lines
_DIGEST_DIGITS: Final = 16
UNDECODABLE: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding raises on bytes that others wrote: not as expected, not UTF-8, nested too deep."""
_QUOTES_PLAIN: Final = 2 * (len(FEATURE_NAMES) + 1) + 2
"""Quote characters of a record that names each field once and gives no coding."""
_QUOTES_CODING: Final = _QUOTES_PLAIN + 4


def decode(value: bytes | None) -> PatientRecord | None:
    """Decode one record that names no coding if it is well-formed beyond doubt, else None: then `validate` must decide.

    The JSON decoder keeps the last of repeated fields without a word. A flat record that holds all its fields cannot
    repeat one without more quote characters than the fields need, so counting them finds every repeat (and sends the
    few honest records with an escaped quote the slow way).
    """
    if not value or len(value) > RECORD_MAX_BYTES:
        return None
    try:
        record = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if record.coding is not msgspec.UNSET or value.count(b'"') != _QUOTES_PLAIN:
        return None
    return record if 0 < len(record.patient_id) <= PATIENT_ID_MAX_CHARS else None


def decode_coded(value: bytes | None) -> PatientRecord | None:
    """Do the same for a record that names a known coding; its numbers are in that coding, as sent."""
    if not value or len(value) > RECORD_MAX_BYTES:
        return None
    try:
        record = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if record.coding not in CODINGS or value.count(b'"') != _QUOTES_CODING:
        return None
    return record if 0 < len(record.patient_id) <= PATIENT_ID_MAX_CHARS else None


Interval = tuple[float, float]
Reasons = Sequence[msgspec.Raw]
Optional = msgspec.UnsetType | None


class EncodableScore(msgspec.Struct, gc=False):
    """A `Score` whose repeating parts are already JSON, ready for `encode_scores`; its fields are in `Score`'s order.

    Raw JSON is written as it is: `label` brings the members after it along, as far as `measure_next`.
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
"""What scores with the same missing fields and warnings share, as JSON from `label` to `measure_next`, by label."""


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
    """Return what names a record's bytes in its score."""
    return sha256(value).hexdigest()[:_DIGEST_DIGITS]


def label_set_json(labels: tuple[int, ...] | None) -> msgspec.Raw:
    """Encode a label set, once for all the records that share it."""
    return msgspec.Raw(_encode(labels))


def reason_json(reason: Reason) -> msgspec.Raw:
    """Encode a reason, once for all the records that have it."""
    return msgspec.Raw(_encode(reason))


class ScoreColumns(msgspec.Struct, frozen=True):
    """The scores of a batch as columns, one entry a record. Risks are 0 to 1."""

    risks: list[float]
    metadata: list[EncodedMetadata]
    intervals: Sequence[Interval | Optional]
    sampling_intervals: Sequence[Interval | msgspec.UnsetType]
    label_sets: Sequence[msgspec.Raw | msgspec.UnsetType]
    reasons: Sequence[Reasons | Optional]

    def require_length(self, records: int) -> None:
        """Raise ValueError unless each column has one entry a record: `map` would stop at the shortest, silently."""
        if {len(getattr(self, name)) for name in self.__struct_fields__} != {records}:
            raise ValueError("the columns do not have one entry a record")


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
        """Encode what scores with the same missing fields and warnings share, once for all of them."""
        well, ill = (
            msgspec.Raw(
                _encode(_Common(label, self.threshold, self.model, pattern, missing, warnings, measure_next))[_LABEL:-1]
            )
            for label in (0, 1)
        )
        return well, ill

    def scores(
        self,
        patient_ids: Sequence[str],
        columns: ScoreColumns,
        sources: Iterable[Source | None] = repeat(None),
        digests: Iterable[str | Optional] = repeat(msgspec.UNSET),
    ) -> list[EncodableScore]:
        """Build one score a record; `digests` are those of the inputs. Raises ValueError unless all have one a record.

        Maps and comprehensions, as a loop of statements takes half as long again.
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
            raise ValueError("digests or sources are fewer than the records")
        return scores


def encode_score(score: EncodableScore) -> bytes:
    """Encode one score as JSON."""
    return _encode(score)


def encode_scores(scores: Iterable[EncodableScore]) -> list[bytes]:
    """Encode each score as JSON."""
    return list(map(_encode, scores))


def encode_score_lines(scores: Iterable[EncodableScore]) -> bytes:
    """Encode each score as a line of JSON: the same bytes, by one call."""
    return _encode_lines(scores)


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Encode a dead letter as JSON."""
    return _encode(letter)


def decode_score(value: bytes) -> Score:
    """Decode a score, as a consumer of the scores topic would, also one in a schema registry's frame.

    Raises one of `UNDECODABLE` on anything else.
    """
    return msgspec.json.decode(strip_prefix(value), type=Score)


def decode_dead_letter(value: bytes) -> DeadLetter:
    """Decode the dead letter header; raises one of `UNDECODABLE` on anything else."""
    return msgspec.json.decode(value, type=DeadLetter)


def encode_source(source: Source) -> bytes:
    """Encode where a record was read, for the header of a redriven record."""
    return _encode(source)


def decode_source(value: bytes) -> Source:
    """Decode that header; raises one of `UNDECODABLE` on anything else."""
    return msgspec.json.decode(value, type=Source)


def decode_known_outcome(value: bytes) -> KnownOutcome:
    """Decode what the outcomes topic holds; raises one of `UNDECODABLE` on anything else."""
    return msgspec.json.decode(value, type=KnownOutcome)
