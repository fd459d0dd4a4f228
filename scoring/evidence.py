"""Detects sources in an undeclared coding.

Most records of another coding are valid in UCI's, with another meaning: the invalid ones are the evidence. They are 37%
to 100% of the records in the copies of this data; in UCI's own data there are none.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

RECENT_RECORDS: Final = 200
"""The size of the window: fewer records are less reliable, more are slower to notice that a producer changed."""
FOREIGN_SHARE: Final = 0.05
"""A source is foreign if this share of its records is, plus half a record: one of ten, but not one of eleven."""
_HALF_A_RECORD: Final = 0.5

Evidence = Sequence[tuple[int, int]]
"""For each run of a batch: the number of records without a coding, and how many of them are foreign."""


def evidence_of(undeclared: Sequence[int], foreign: Sequence[int]) -> Evidence:
    """Return the evidence of a batch, by the positions of its valid records without a coding, and of foreign ones."""
    if not foreign:
        return [(len(undeclared), 0)]
    shown = Counter(place // RECENT_RECORDS for place in foreign)
    runs = Counter(place // RECENT_RECORDS for place in undeclared) + shown
    return [(count, shown[run]) for run, count in sorted(runs.items())]


class SourceWindow:
    """The last `RECENT_RECORDS` or more records of one source, as counts."""

    __slots__ = ("_foreign", "_records", "_runs")

    def __init__(self) -> None:
        """Start without records."""
        self._runs: deque[tuple[int, int]] = deque()
        self._records = self._foreign = 0

    @property
    def is_foreign(self) -> bool:
        """Whether the last records show that the source is in another coding."""
        return self._foreign > 0 and self._foreign >= FOREIGN_SHARE * self._records + _HALF_A_RECORD

    @property
    def is_clean(self) -> bool:
        """Whether none of the last records is foreign."""
        return not self._foreign

    def add(self, evidence: Evidence) -> bool:
        """Add a batch; returns whether the source was foreign at any point of it. Takes a microsecond."""
        found = False
        for run in evidence:
            self._runs.append(run)
            self._records += run[0]
            self._foreign += run[1]
            while self._records - (oldest := self._runs[0])[0] >= RECENT_RECORDS:
                self._runs.popleft()
                self._records -= oldest[0]
                self._foreign -= oldest[1]
            found = found or self.is_foreign
        return found
