"""The only decoder and the only encoder of what is on the wire.

Written for speed: one C call a record in each direction. What the fast decoder does not take is left to
`schemas.faults.examine`, which knows why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Final

import msgspec

from schemas.features import FEATURE_NAMES
from schemas.records import (
    PATIENT_ID_MAX_CHARS,
    RECORD_MAX_BYTES,
    DeadLetter,
    ModelRef,
    PatientRecord,
    Reason,
    Score,
    ScoreWarning,
    Source,
)

_decode: Final = msgspec.json.Decoder(PatientRecord).decode
_encoder: Final = msgspec.json.Encoder()
_encode: Final = _encoder.encode
_encode_lines: Final = _encoder.encode_lines
_QUOTES_PLAIN: Final = 2 * (len(FEATURE_NAMES) + 1) + 2
"""Quote characters of a record that names each field once and gives no coding."""
_QUOTES_CODING: Final = _QUOTES_PLAIN + 4


def decode(value: bytes | None) -> PatientRecord | None:
    """Decode one record if it is well-formed beyond doubt, else None: then `examine` must decide.

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
    coding = record.coding
    if coding is msgspec.UNSET:
        quotes = _QUOTES_PLAIN
    elif coding == "uci":
        quotes = _QUOTES_CODING
    else:
        return None
    if value.count(b'"') != quotes or not 0 < len(record.patient_id) <= PATIENT_ID_MAX_CHARS:
        return None
    return record


Interval = tuple[float, float]
Optional = msgspec.UnsetType | None


class _WireScore(msgspec.Struct, gc=False):
    """A `Score` whose repeating parts are already JSON; field for field in the order of `Score`."""

    patient_id: str
    risk: float
    label: int
    threshold: float
    model: msgspec.Raw
    pattern: msgspec.Raw
    missing: msgspec.Raw
    warnings: msgspec.Raw
    interval: Interval | Optional
    label_set: msgspec.Raw | msgspec.UnsetType
    reasons: tuple[Reason, ...] | Optional
    source: Source | None


class Remarks(msgspec.Struct, frozen=True):
    """What is missing and doubtful about records of one kind, with its JSON made once."""

    pattern_json: msgspec.Raw
    missing_json: msgspec.Raw
    warnings_json: msgspec.Raw

    @classmethod
    def of(cls, pattern: str | None, missing: tuple[str, ...], warnings: tuple[ScoreWarning, ...]) -> Remarks:
        """Encode all three once, for all the records that share them."""
        return cls(*(msgspec.Raw(_encode(part)) for part in (pattern, missing, warnings)))


def label_set_json(labels: tuple[int, ...] | None) -> msgspec.Raw:
    """Encode a label set, once for all the records that share it."""
    return msgspec.Raw(_encode(labels))


class Findings(msgspec.Struct, frozen=True):
    """What there is to say of each record of a batch, a list each, all of equal length. Risks are 0 to 1."""

    risks: list[float]
    remarks: list[Remarks]
    intervals: Sequence[Interval | Optional]
    label_sets: Sequence[msgspec.Raw | msgspec.UnsetType]
    reasons: Sequence[tuple[Reason, ...] | Optional]

    def refuse_other_length(self, records: int) -> None:
        """Raise ValueError unless each list has one entry a record: `map` would end with the shortest, silently."""
        if {len(self.risks), len(self.remarks), len(self.intervals), len(self.label_sets), len(self.reasons)} != {
            records
        }:
            raise ValueError("findings are not those of these records")


class ScoreEncoder:
    """Writes scores of one model at one threshold as JSON. The bytes equal those of encoding a `Score`."""

    def __init__(self, model: ModelRef, threshold: float) -> None:
        """Encode what all scores share."""
        self.model = model
        self.threshold = threshold
        self._model_json = msgspec.Raw(_encode(model))

    def encode(self, patient_ids: Sequence[str], findings: Findings, sources: Sequence[Source | None]) -> list[bytes]:
        """Encode one score a record. The hot loop: 0.5 µs each, 0.8 with all details."""
        if len(sources) != len(patient_ids):
            raise ValueError("sources are not those of these records")
        return list(map(_encode, self._wire(patient_ids, findings, sources)))

    def encode_lines(self, patient_ids: Sequence[str], findings: Findings) -> bytes:
        """Encode one score a record that came from no topic: the same bytes, each with a line feed, by one call."""
        return _encode_lines(list(self._wire(patient_ids, findings, repeat(None))))

    def _wire(
        self, patient_ids: Sequence[str], findings: Findings, sources: Iterable[Source | None]
    ) -> Iterator[_WireScore]:
        """Put the scores together. Maps and comprehensions, for a loop of statements takes half as long again."""
        findings.refuse_other_length(len(patient_ids))
        threshold, remarks = self.threshold, findings.remarks
        return map(
            _WireScore,
            patient_ids,
            findings.risks,
            [1 if risk >= threshold else 0 for risk in findings.risks],
            repeat(threshold),
            repeat(self._model_json),
            [remark.pattern_json for remark in remarks],
            [remark.missing_json for remark in remarks],
            [remark.warnings_json for remark in remarks],
            findings.intervals,
            findings.label_sets,
            findings.reasons,
            sources,
        )


def encode_dead_letter(letter: DeadLetter) -> bytes:
    """Encode a dead letter as JSON."""
    return _encode(letter)


def decode_score(value: bytes) -> Score:
    """Decode a score, as a consumer of the scores topic would; raises `msgspec.MsgspecError` on anything else."""
    return msgspec.json.decode(value, type=Score)


def decode_dead_letter(value: bytes) -> DeadLetter:
    """Decode the dead letter header; raises `msgspec.MsgspecError` on anything else."""
    return msgspec.json.decode(value, type=DeadLetter)


def encode_source(source: Source) -> bytes:
    """Encode where a record was read, for the header of a redriven record."""
    return _encode(source)


def decode_source(value: bytes) -> Source:
    """Decode that header; raises `msgspec.MsgspecError` on anything else."""
    return msgspec.json.decode(value, type=Source)
