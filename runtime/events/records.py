"""Events of scored and rejected records, from every interface."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog

from runtime.log_throttling import RejectionSummary, RejectionThrottle
from runtime.metrics import records as metrics

_log: Final = structlog.get_logger("heartstream")
_rejected: Final = RejectionThrottle(10.0, time.monotonic)
"""Rejections not logged yet, for at most ten seconds."""


class BatchScored(msgspec.Struct, frozen=True):
    """An interface has processed a batch. `rejection_codes` has one code per error."""

    interface: str
    scored: int
    rejected: int
    rejection_codes: tuple[str, ...]
    seconds: float

    def emit(self) -> None:
        """Count records and issues. What is rejected is logged by `RecordsRejected`."""
        metrics.RECORDS.labels(self.interface, "scored").inc(self.scored)
        metrics.BATCH_RECORDS.labels(self.interface).observe(self.scored + self.rejected)
        metrics.BATCH_SECONDS.labels(self.interface).observe(self.seconds)
        if self.rejected:
            metrics.RECORDS.labels(self.interface, "rejected").inc(self.rejected)
            for code, issues in Counter(self.rejection_codes).items():
                metrics.RECORD_ERRORS.labels(self.interface, code).inc(issues)
            _rejected.add(self.interface, self.rejected, self.rejection_codes)
            log_due_rejections()


class RecordsRejected(msgspec.Struct, frozen=True):
    """An interface rejected records. The first is logged at once, the rest every 10 s, as a sum over `seconds`."""

    interface: str
    records: int
    codes: tuple[str, ...]
    seconds: float

    def emit(self) -> None:
        """Log it."""
        seconds = round(self.seconds, 1)
        _log.warning(
            "records rejected", interface=self.interface, records=self.records, codes=self.codes, seconds=seconds
        )


def log_due_rejections() -> None:
    """Log the rejections whose interval is over. Called often, so that none waits for the next rejection."""
    if _rejected.has_pending:
        _emit(_rejected.due())


def log_remaining_rejections() -> None:
    """Log all remaining rejections, as the process exits."""
    _emit(_rejected.remaining())


def _emit(summaries: Iterable[RejectionSummary]) -> None:
    for each in summaries:
        RecordsRejected(each.interface, each.records, each.codes, each.seconds).emit()
