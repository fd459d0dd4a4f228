"""The audit trail: who had which record scored, when, and what came of it; without the record, and without a name.

A patient's id is there as a pseudonym alone: an HMAC-SHA256 of it, which whoever has the key can find again, and
nobody else can undo. A record is there as the SHA-256 of its bytes: enough to prove which one it was. What cannot be
written down is not answered.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import BinaryIO, Final, Protocol

import msgspec

from api.microbatch import DOOR
from api.problems import RefusalError
from runtime import events
from schemas.codec import decode_score
from scoring.pipeline import Outcome, Rejected, Scored

_ENCODER: Final = msgspec.json.Encoder()
_PSEUDONYM_DIGITS: Final = 32


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the trail. `record` is the SHA-256 of the record's bytes, `model` the digest of the model.

    `rejected` has the codes of all that is wrong with a record that was not scored; `input` is the record itself, only
    where that was switched on.
    """

    at: dt.datetime
    door: str
    caller: str
    record: str
    patient: str | None = None
    risk: float | None = None
    label: int | None = None
    model: str | None = None
    rejected: tuple[str, ...] = ()
    input: str | None = None


class Audit(Protocol):
    """Notes what was scored."""

    def note(self, caller: str, bodies: Sequence[bytes], outcomes: Sequence[Outcome]) -> None:
        """Note outcomes, one a body; raises RefusalError (503) if they cannot be written down."""

    def close(self) -> None:
        """Finish; may block for some seconds."""


class Writer(Protocol):
    """Where lines are kept."""

    def write(self, lines: bytes) -> None:
        """Keep some whole lines; raises OSError if that cannot be."""

    def close(self) -> None:
        """Finish; may block for some seconds."""


class NoAudit:
    """Notes nothing."""

    def note(self, caller: str, bodies: Sequence[bytes], outcomes: Sequence[Outcome]) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class AuditFile:
    """Writes lines to a file that is open already."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target

    def write(self, lines: bytes) -> None:
        """Append some lines."""
        self._target.write(lines)
        self._target.flush()

    def close(self) -> None:
        """Close the file."""
        self._target.close()


class Trail:
    """Writes entries as JSON lines."""

    def __init__(
        self,
        key: bytes,
        writers: Sequence[Writer],
        *,
        with_input: bool = False,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Every line goes to all `writers`."""
        self._key = key
        self._writers = writers
        self._with_input = with_input
        self._now = now

    def note(self, caller: str, bodies: Sequence[bytes], outcomes: Sequence[Outcome]) -> None:
        """Write one line an outcome, all at once."""
        lines = _ENCODER.encode_lines(list(self._entries(caller, bodies, outcomes)))
        try:
            for writer in self._writers:
                writer.write(lines)
        except OSError as error:
            events.RequestFailed(error).emit()
            detail = "The audit trail cannot be written, so nothing is answered."
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, detail) from error

    def close(self) -> None:
        """Finish with all writers."""
        for writer in self._writers:
            writer.close()

    def _entries(self, caller: str, bodies: Sequence[bytes], outcomes: Sequence[Outcome]) -> Iterator[Entry]:
        at = self._now()
        for body, outcome in zip(bodies, outcomes, strict=True):
            record = hashlib.sha256(body).hexdigest()
            given = body.decode(errors="replace") if self._with_input else None
            match outcome:
                case Scored(value):
                    score = decode_score(value)
                    patient = self.pseudonym(score.patient_id)
                    yield Entry(
                        at, DOOR, caller, record, patient, score.risk, score.label, score.model.digest, input=given
                    )
                case Rejected(faults):
                    codes = tuple(str(fault.code) for fault in faults)
                    yield Entry(at, DOOR, caller, record, rejected=codes, input=given)

    def pseudonym(self, patient_id: str) -> str:
        """Return what stands for a patient: the first 32 hexadecimal digits of a keyed HMAC-SHA256."""
        return hmac.digest(self._key, patient_id.encode(), "sha256").hex()[:_PSEUDONYM_DIGITS]
