"""The patient records of one feature table: their type, and the decoder. Optimized for speed: one C call per record.

`RecordValidator` handles the records that the fast decoder does not accept.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from operator import attrgetter
from typing import Any, Final

import msgspec

from schemas.errors import ValidationIssue
from schemas.records import PATIENT_ID_MAX_CHARS, RECORD_MAX_BYTES, PatientRecord
from schemas.tables.feature_table import CODING, Feature, FeatureTable
from schemas.validation import RecordValidator

Decode = Callable[[bytes | None], PatientRecord | None]
_QUOTES_PER_MEMBER: Final = 2
coding_of: Final[Callable[[PatientRecord], str | msgspec.UnsetType]] = attrgetter(CODING)
"""Returns the coding that a record names."""


class RecordFormat:
    """How patient records of a feature table are read.

    `type` is the type of a record. `decode` returns a record without a coding if it is certainly valid JSON of that
    type; None means that `validate` must decide. `decode_coded` does so for records with a known coding, whose numbers
    it returns as sent, in that coding.
    """

    def __init__(self, table: FeatureTable) -> None:
        """Define the type and compile the decoder; takes less than a millisecond."""
        self.table = table
        self.type = _record_type(table)
        self.decode = _decoder(self.type, table, (msgspec.UNSET,), 0)
        # A member and its text have four quotes.
        self.decode_coded = _decoder(self.type, table, table.coding_by_name.keys(), 2 * _QUOTES_PER_MEMBER)
        self._validator = RecordValidator(table, self.type)

    def validate(self, value: bytes | None, coding: str | None = None) -> PatientRecord | tuple[ValidationIssue, ...]:
        """Return the record in `value`, or all of its issues (never empty); see `RecordValidator`."""
        return self._validator.validate(value, coding)


def _record_type(table: FeatureTable) -> type[PatientRecord]:
    fields = [(feature.name, _type_of(feature)) for feature in table.features]
    coding = (CODING, str | msgspec.UnsetType, msgspec.UNSET)
    return msgspec.defstruct(  # type: ignore[return-value]  # a subclass of its base
        PatientRecord.__name__,
        [*fields, coding],
        bases=(PatientRecord,),
        frozen=True,
        forbid_unknown_fields=True,
        gc=False,
        module=__name__,
    )


def _type_of(feature: Feature) -> Any:
    return str | None if feature.labels else float | None


def _decoder(kind: type[PatientRecord], table: FeatureTable, codings: Container[object], more_quotes: int) -> Decode:
    """Return the decoder of records whose coding is one of `codings`.

    The JSON decoder silently keeps the last of duplicate fields. A flat record with all its fields cannot contain a
    duplicate without more quote characters than the fields need, so counting quotes detects every duplicate (and sends
    the few valid records with an escaped quote to the slow path).
    """
    decode = msgspec.json.Decoder(kind).decode
    quotes = _QUOTES_PER_MEMBER * (len(table.features) + 2) + more_quotes
    texts = [attrgetter(feature.name) for feature in table.features if feature.labels]

    def decoded(value: bytes | None) -> PatientRecord | None:
        if not value or len(value) > RECORD_MAX_BYTES:
            return None
        try:
            record = decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        expected = quotes
        if texts:
            expected += _QUOTES_PER_MEMBER * sum(text(record) is not None for text in texts)
        # Reading the attribute and searching a tuple are faster than `coding_of` and a set.
        if record.coding not in codings or value.count(b'"') != expected:  # type: ignore[attr-defined]  # see _record_type
            return None
        return record if 0 < len(record.patient_id) <= PATIENT_ID_MAX_CHARS else None

    return decoded
