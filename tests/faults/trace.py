"""The steps of the workers, read from their logs: the events that are actions of the model, by time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

_ACTIONS: Final[Mapping[str, str]] = {
    "partitions assigned": "Assigned",
    "partitions revoked": "Revoked",
    "partitions lost": "Lost",
    "transaction begun": "Begun",
    "offsets sent": "OffsetsSent",
    "offsets committed": "Committed",
    "transaction aborted": "Aborted",
    "transaction call slow": "SentAgain",
    "producer replaced": "Replaced",
    "transaction settled": "Learned",
    "flush confirmed": "Confirmed",
}
"""The action of the model for each log event (docs/faults.md has the table)."""

Offsets = dict[int, int]
Ranges = dict[int, list[tuple[int, int]]]


class Step(msgspec.Struct, frozen=True):
    """One step of one worker. Fields that an action does not have are empty."""

    at: float
    worker: str
    action: str
    partitions: tuple[int, ...] = ()
    offsets: dict[int, int | None] = {}
    ranges: Ranges = {}
    committed: int = 0
    again: int = 0
    call: str = ""
    seconds: float = 0.0
    flag: bool = False
    """Revoked: whether everything was drained. Committed: whether in a transaction."""

    def __str__(self) -> str:
        where = self.ranges or self.offsets or self.partitions or self.call
        return f"{self.action} {where} by {self.worker}" if where else f"{self.action} by {self.worker}"


def read_trace(logs: Iterable[Path]) -> list[Step]:
    """Return the steps of all workers; those of one worker keep the order of its log."""
    steps = [step for log in logs for step in _steps(log.stem, log.read_text("utf-8", "replace").splitlines())]
    return sorted(steps, key=lambda step: step.at)


def _steps(worker: str, lines: Sequence[str]) -> Iterable[Step]:
    latest = 0.0
    for line in lines:
        fields = _parsed(line)
        if fields is None or fields.get("event") not in _ACTIONS:
            continue
        # Threads take the timestamp before they write, so the order of the lines counts.
        latest = max(latest, datetime.fromisoformat(fields["timestamp"]).timestamp())
        yield _step(latest, worker, fields)


def _parsed(line: str) -> dict[str, Any] | None:
    """Return a line's object; the last line of a killed worker may be incomplete."""
    if not line.startswith("{"):
        return None
    try:
        fields: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return fields


def _step(at: float, worker: str, fields: Mapping[str, Any]) -> Step:
    return Step(
        at,
        worker,
        _ACTIONS[fields["event"]],
        partitions=tuple(fields.get("numbers", ())),
        offsets={
            int(number): offset for number, offset in (fields.get("positions") or fields.get("offsets") or {}).items()
        },
        ranges={int(number): [tuple(run) for run in runs] for number, runs in fields.get("ranges", {}).items()},
        committed=fields.get("committed", 0),
        again=fields.get("again", 0),
        call=fields.get("call") or fields.get("reason") or "",
        seconds=float(fields.get("seconds", 0.0)),
        flag=bool(fields.get("drained") or fields.get("transactional")),
    )
