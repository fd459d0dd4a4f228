"""The suite's table and its JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tests.faults.run import Report

_COLUMNS = ("produced", "lost", "dup", "differ", "reorder", "unexpl", "wrong", "in flight", "exits", "stop s", "steps")


def lines(reports: Sequence[Report]) -> list[str]:
    """Return the table as aligned text, one row per run."""
    header = f"{'plan':18}{'guarantee':15}" + "".join(f"{name:>10}" for name in _COLUMNS) + "  what was done"
    return [header, *(_row(report) for report in reports)]


def _row(report: Report) -> str:
    account = report.account
    start = f"{report.name:18}{report.guarantee:15}"
    if account is None:
        return f"{start}  NOT JUDGED: {report.problem.splitlines()[0]}"
    cells = (
        account.produced,
        account.lost,
        account.duplicates,
        account.differing,
        account.reordered,
        account.unexplained,
        account.wrong,
        report.in_flight,
        len(report.exits),
        report.slowest_stop,
        report.steps,
    )
    verdict = f"  BROKEN: {', '.join(report.broken)}" if report.broken else ""
    return start + "".join(f"{cell:>10}" for cell in cells) + f"  {report.done}{verdict}"


def as_json(reports: Sequence[Report]) -> bytes:
    """Return all reports as JSON, each a flat object."""
    return msgspec.json.format(msgspec.json.encode({"faults": [_flat(report) for report in reports]}), indent=2) + b"\n"


def _flat(report: Report) -> dict[str, object]:
    fields = msgspec.structs.asdict(report)
    account = fields.pop("account")
    return {**fields, **(msgspec.structs.asdict(account) if account is not None else {})}
