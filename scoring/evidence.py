"""Whether a source of records is in another coding than it says, by what its records show.

Most records of another coding are legal in UCI's, and mean something else there: what gives a source away are those
that are not. In the copies of this data they are 37% to 100% of the records; in UCI's own data there are none.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

RECENT_RECORDS: Final = 200
"""So many records are looked at together: fewer say less, and more are slow to notice that a producer changed."""
FOREIGN_SHARE: Final = 0.05
"""A source is foreign if this share of its records shows it, and half a record more: one of ten, but not of eleven."""
_HALF_A_RECORD: Final = 0.5

Evidence = Sequence[tuple[int, int]]
"""Of each run of a batch: how many records say something of its coding, and how many of them show another one."""


def evidence_of(undeclared: Sequence[int], foreign: Sequence[int]) -> Evidence:
    """Return what a batch says, by the places of its legal records that name no coding, and of its foreign ones."""
    if not foreign:
        return [(len(undeclared), 0)]
    shown = Counter(place // RECENT_RECORDS for place in foreign)
    runs = Counter(place // RECENT_RECORDS for place in undeclared) + shown
    return [(count, shown[run]) for run, count in sorted(runs.items())]


class SourceWindow:
    """The last `RECENT_RECORDS` or more records of one source, as counts."""

    __slots__ = ("_foreign", "_records", "_runs")

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._runs: deque[tuple[int, int]] = deque()
        self._records = self._foreign = 0

    @property
    def is_foreign(self) -> bool:
        """Say whether the source is in another coding, by its last records."""
        return self._foreign > 0 and self._foreign >= FOREIGN_SHARE * self._records + _HALF_A_RECORD

    @property
    def is_clean(self) -> bool:
        """Say whether none of the last records shows another coding."""
        return not self._foreign

    def note(self, evidence: Evidence) -> bool:
        """Take in a batch; returns whether the source was foreign at any moment of it. Takes a microsecond."""
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
