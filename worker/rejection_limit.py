"""Stops a worker that rejects too many records."""

from __future__ import annotations

from collections import deque

from schemas.errors import DependencyError


class RejectionLimit:
    """The share of rejected records among the last `window` or more may not exceed `limit_share`.

    A limit of 1 is never exceeded.
    """

    def __init__(self, window: int, limit_share: float) -> None:
        self._window = window
        self._limit_share = limit_share
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._rejected = 0

    def record(self, records: int, rejected: int) -> None:
        """Count a batch before it is published; raises DependencyError if the limit is exceeded."""
        self._batches.append((records, rejected))
        self._records += records
        self._rejected += rejected
        while self._records - self._batches[0][0] >= self._window:
            oldest_records, oldest_rejected = self._batches.popleft()
            self._records -= oldest_records
            self._rejected -= oldest_rejected
        if self._records >= self._window and self._rejected > self._limit_share * self._records:
            raise DependencyError(
                f"{self._rejected} of the last {self._records} records were rejected, more than the limit of "
                f"{self._limit_share:.0%}: is it the producers, or this deployment? Their codes are in the log; "
                "HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO=1 lets everything through"
            )
