"""The audit trail: who had which record scored, when, and with what result; without the record and the patient's id.

The patient is a pseudonym: a keyed HMAC-SHA256 of the id, which only the owner of the key can match. The record is
the SHA-256 of its bytes, enough to identify it. No response is sent before its line is durable.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import hmac
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from api.audit.group_commit import GroupCommitter
from api.microbatch import INTERFACE
from api.problem_details import ProblemError
from scoring.pipeline import Results

_ENCODER: Final = msgspec.json.Encoder()
_PSEUDONYM_DIGITS: Final = 32
_MAX_INPUT_BYTES: Final = 262_144
"""No record is larger, but a refused FHIR Bundle can be; its line would not fit a Kafka message."""


class AuditEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the trail. `record` is the SHA-256 of the record's bytes, `model` the digest of the model.

    `rejected` has the error codes of a record that was not scored; `input` is the record itself, if that is configured.
    """

    at: dt.datetime
    interface: str
    caller: str
    record: str
    patient: str | None = None
    risk: float | None = None
    label: int | None = None
    model: str | None = None
    rejected: tuple[str, ...] = ()
    input: str | None = None


class AuditTrail:
    """Writes the audit trail as JSON lines."""

    def __init__(
        self,
        key: bytes,
        committers: Sequence[GroupCommitter],
        *,
        with_input: bool = False,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Each line goes to all `committers`."""
        self._key = key
        self._committers = committers
        self._with_input = with_input
        self._now = now

    def lines(self, caller: str, bodies: Sequence[bytes], results: Results, first: int = 0) -> bytes:
        """Return one line per body; the first one's index in the results is `first`."""
        return _ENCODER.encode_lines(list(self._entries(caller, bodies, results, first)))

    async def commit(self, lines: bytes) -> None:
        """Wait until lines are durable everywhere; raises ProblemError (503) on failure. Respond only after it."""
        commits = [committer.commit(lines) for committer in self._committers]
        if any(isinstance(found, BaseException) for found in await asyncio.gather(*commits, return_exceptions=True)):
            detail = "The audit trail is unavailable, so no result is returned."
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail)

    def problem(self) -> str | None:
        """Return why lines cannot be written, for `/health/ready`."""
        return next(filter(None, (committer.problem() for committer in self._committers)), None)

    def close(self) -> None:
        """Close; may block for some seconds."""
        for committer in self._committers:
            committer.close()

    def _entries(self, caller: str, bodies: Sequence[bytes], results: Results, first: int) -> Iterator[AuditEntry]:
        at = self._now()
        for index, body in enumerate(bodies, first):
            record = hashlib.sha256(body).hexdigest()
            text = body.decode(errors="replace") if self._with_input and len(body) <= _MAX_INPUT_BYTES else None
            if issues := results.rejected.get(index):
                codes = tuple(str(issue.code) for issue in issues)
                yield AuditEntry(at, INTERFACE, caller, record, rejected=codes, input=text)
                continue
            row = results.row(index)
            score, label, model = results.scores[row], int(results.labels[row]), results.models[row]
            patient = self.pseudonym(score.patient_id)
            yield AuditEntry(at, INTERFACE, caller, record, patient, score.risk, label, model.digest, input=text)

    def pseudonym(self, patient_id: str) -> str:
        """Return a patient's pseudonym: the first 32 hexadecimal digits of a keyed HMAC-SHA256."""
        return hmac.digest(self._key, patient_id.encode(), "sha256").hex()[:_PSEUDONYM_DIGITS]
