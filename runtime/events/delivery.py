"""Events of delivery: results, transactions and offset commits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

from runtime.log_throttling import LogThrottle
from runtime.metrics import delivery as metrics
from runtime.metrics import records as record_metrics

_log: Final = structlog.get_logger("heartstream")
_throttle: Final = LogThrottle()


class ScoreRefused(msgspec.Struct, frozen=True):
    """The scores topic refuses a score; if `is_letter`, a dead letter is produced instead."""

    code: str
    is_letter: bool

    def emit(self) -> None:
        """Count it as an error of its record, and log it."""
        if self.is_letter:
            record_metrics.RECORD_ERRORS.labels("kafka", self.code).inc()
        suppressed = _throttle.admit(("scores", self.code))
        if suppressed is not None:
            _log.warning("score refused", code=self.code, dead_letter=self.is_letter, suppressed=suppressed)


class BatchDelivered(msgspec.Struct, frozen=True):
    """The broker has confirmed every result of a batch of `records`, `seconds` after its start.

    `at`, and the timestamps of its oldest and newest record, are in Unix time; None where a record has no timestamp,
    or its latency is not measured.
    `dead_letter_codes` has one code per dead letter.
    """

    seconds: float
    at: float
    records: int
    oldest: float | None
    newest: float | None
    dead_letter_codes: tuple[str, ...]

    def emit(self) -> None:
        """Update progress, latency and dead letters."""
        metrics.DELIVERY_SECONDS.observe(self.seconds)
        metrics.PROGRESS.set(self.at)
        if self.oldest is not None and self.newest is not None:
            # Clocks may differ, so latency is at least 0, and the first record is not always the oldest.
            first, last = max(0.0, self.at - self.oldest), max(0.0, self.at - self.newest)
            metrics.LATENCY_SECONDS.observe(min(first, last), max(first, last), self.records)
        for code, letters in Counter(self.dead_letter_codes).items():
            metrics.DEAD_LETTERS.labels(code).inc(letters)


class FlushConfirmed(msgspec.Struct, frozen=True):
    """The broker has confirmed a flush. `ranges` are the offsets of its records by partition, end excluded."""

    ranges: Mapping[int, Sequence[Sequence[int]]]

    def emit(self) -> None:
        """Log it for debugging."""
        _log.debug("flush confirmed", ranges=self.ranges)


class BatchesLimited(msgspec.Struct, frozen=True):
    """An output topic accepts only smaller batches: from now on the client sends at most `size` bytes per batch."""

    size: int

    def emit(self) -> None:
        """Log it."""
        _log.info("batches limited", batch_bytes=self.size)


class TransactionBegun(msgspec.Struct, frozen=True):
    """A transaction has begun."""

    def emit(self) -> None:
        """Log it for debugging."""
        _log.debug("transaction begun")


class OffsetsSent(msgspec.Struct, frozen=True):
    """These offsets, by partition, are about to be added to the open transaction, which is then committed."""

    offsets: Mapping[int, int]

    def emit(self) -> None:
        """Log it for debugging."""
        _log.debug("offsets sent", offsets=self.offsets)


class TransactionAborted(msgspec.Struct, frozen=True):
    """A transaction was aborted: its results are not visible and it is retried."""

    reason: str

    def emit(self) -> None:
        """Count and log it."""
        metrics.COMMITS.labels("aborted").inc()
        _log.warning("transaction aborted", reason=self.reason)


class TransactionCallSlow(msgspec.Struct, frozen=True):
    """A call was so slow that the client may have sent a request twice: the next transaction uses a new client."""

    call: str
    seconds: float

    def emit(self) -> None:
        """Log it; the new client is counted."""
        _log.info("transaction call slow", call=self.call, seconds=round(self.seconds, 3))


class TransactionSettled(msgspec.Struct, frozen=True):
    """A stuck transaction was resolved by the group's offsets: partitions committed, and partitions to do again."""

    committed: int
    again: int

    def emit(self) -> None:
        """Count and log it."""
        metrics.COMMITS.labels("aborted" if self.again else "committed").inc()
        _log.warning("transaction settled", committed=self.committed, again=self.again)


class ProducerReplaced(msgspec.Struct, frozen=True):
    """A transactional client was stuck in a call, or slow: a new one with the same id replaces it."""

    call: str

    def emit(self) -> None:
        """Count and log it."""
        metrics.PRODUCER_REPLACEMENTS.inc()
        _log.warning("producer replaced", call=self.call)


class OffsetsCommitted(msgspec.Struct, frozen=True):
    """Offsets, by partition, were committed: in a transaction if `transactional`, otherwise by the consumer."""

    offsets: Mapping[int, int]
    transactional: bool = False

    def emit(self) -> None:
        """Count it; log it for debugging."""
        metrics.COMMITS.labels("committed").inc()
        _log.debug("offsets committed", offsets=self.offsets, transactional=self.transactional)


class OffsetCommitFailed(msgspec.Struct, frozen=True):
    """An offset commit failed: it is retried, or the partitions' new owner reads the records again."""

    reason: str
    partitions: int

    def emit(self) -> None:
        """Count and log it."""
        metrics.COMMITS.labels("failed").inc()
        _log.warning("offset commit failed", reason=self.reason, partitions=self.partitions)
