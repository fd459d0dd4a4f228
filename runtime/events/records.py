"""Events of scored and rejected records, from every interface."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog

from runtime import metrics, rejections

_log: Final = structlog.get_logger("heartstream")
_rejected: Final = rejections.RejectionTally(10.0, time.monotonic)
"""What is not in the log yet, for at most ten seconds."""


class BatchScored(msgspec.Struct, frozen=True):
    """A door has the outcomes of a batch. `fault_codes` has one code a fault."""

    door: str
    scored: int
    rejected: int
    fault_codes: tuple[str, ...]
    seconds: float

    def emit(self) -> None:
        """Count records and faults. What is rejected is logged by `RecordsRejected`."""
        metrics.RECORDS.labels(self.door, "scored").inc(self.scored)
        metrics.BATCH_RECORDS.labels(self.door).observe(self.scored + self.rejected)
        metrics.BATCH_SECONDS.labels(self.door).observe(self.seconds)
        if self.rejected:
            metrics.RECORDS.labels(self.door, "rejected").inc(self.rejected)
            for code, faults in Counter(self.fault_codes).items():
                metrics.RECORD_FAULTS.labels(self.door, code).inc(faults)
            _rejected.note(self.door, self.rejected, self.fault_codes)
            log_due_rejections()


class RecordsRejected(msgspec.Struct, frozen=True):
    """A door rejected records within `seconds`: told at once of the first, then of all since, every 10 s at most."""

    door: str
    records: int
    codes: tuple[str, ...]
    seconds: float

    def emit(self) -> None:
        """Log it."""
        seconds = round(self.seconds, 1)
        _log.warning("records rejected", door=self.door, records=self.records, codes=self.codes, seconds=seconds)


def log_due_rejections() -> None:
    """Log the rejections whose interval is over; callers come by often, so that none waits for the next rejection."""
    _emit(_rejected.due())


def log_remaining_rejections() -> None:
    """Log every rejection that is not in the log yet: the process ends."""
    _emit(_rejected.rest())


def _emit(summed_up: Iterable[rejections.Rejections]) -> None:
    for each in summed_up:
        RecordsRejected(each.door, each.records, each.codes, each.seconds).emit()
