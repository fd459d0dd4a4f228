"""The audit trail: who had which record scored, when, and what came of it; without the record, and without a name.

A patient's id is there as a pseudonym alone: an HMAC-SHA256 of it, which whoever has the key can find again, and
nobody else can undo. A record is there as the SHA-256 of its bytes: enough to prove which one it was. Nothing is
answered before its line is durable.
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

from api.audit.group_commit import Committer
from api.microbatch import INTERFACE
from api.problem_details import RefusalError
from scoring.pipeline import Results

_ENCODER: Final = msgspec.json.Encoder()
_PSEUDONYM_DIGITS: Final = 32


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the trail. `record` is the SHA-256 of the record's bytes, `model` the digest of the model.

    `rejected` has the codes of all that is wrong with a record that was not scored; `input` is the record itself, only
    where that was switched on.
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


class Trail:
    """Writes entries as JSON lines."""

    def __init__(
        self,
        key: bytes,
        committers: Sequence[Committer],
        *,
        with_input: bool = False,
        now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC),
    ) -> None:
        """Every line goes to all `committers`."""
        self._key = key
        self._committers = committers
        self._with_input = with_input
        self._now = now

    def lines(self, caller: str, bodies: Sequence[bytes], results: Results, first: int = 0) -> bytes:
        """Return the lines that note what became of these bodies, one each; the first one's place is `first`."""
        return _ENCODER.encode_lines(list(self._entries(caller, bodies, results, first)))

    async def commit(self, lines: bytes) -> None:
        """Wait until lines are durable everywhere; raises RefusalError (503) if they cannot be. Only then answer."""
        done = [committer.commit(lines) for committer in self._committers]
        if any(isinstance(found, BaseException) for found in await asyncio.gather(*done, return_exceptions=True)):
            detail = "The audit trail cannot be written, so nothing is answered."
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, detail)

    def problem(self) -> str | None:
        """Say why lines cannot be written now, for `/health/ready`."""
        return next(filter(None, (committer.problem() for committer in self._committers)), None)

    def close(self) -> None:
        """Finish; may block for some seconds."""
        for committer in self._committers:
            committer.close()

    def _entries(self, caller: str, bodies: Sequence[bytes], results: Results, first: int) -> Iterator[Entry]:
        at = self._now()
        for place, body in enumerate(bodies, first):
            record = hashlib.sha256(body).hexdigest()
            given = body.decode(errors="replace") if self._with_input else None
            if faults := results.rejected.get(place):
                codes = tuple(str(fault.code) for fault in faults)
                yield Entry(at, INTERFACE, caller, record, rejected=codes, input=given)
                continue
            row = results.row(place)
            score, label, model = results.scores[row], int(results.labels[row]), results.models[row]
            patient = self.pseudonym(score.patient_id)
            yield Entry(at, INTERFACE, caller, record, patient, score.risk, label, model.digest, input=given)

    def pseudonym(self, patient_id: str) -> str:
        """Return what stands for a patient: the first 32 hexadecimal digits of a keyed HMAC-SHA256."""
        return hmac.digest(self._key, patient_id.encode(), "sha256").hex()[:_PSEUDONYM_DIGITS]
