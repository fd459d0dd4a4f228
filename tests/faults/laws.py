"""The laws that hold after every plan, by guarantee."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.run import Report


def broken_laws(report: Report, *, graceful: bool) -> tuple[str, ...]:
    """Return the violated laws of a run. `graceful`: no worker died, so nothing may be repeated."""
    if report.account is None:
        return (report.problem,)
    account = report.account
    zero = {
        "lost": account.lost,
        "unexplained": account.unexplained,
        "wrong": account.wrong,
        "duplicates of other bytes": account.differing,
        "partitions not committed to their end": report.behind,
        "stops without exit code 0": len(report.bad_stops),
    }
    if report.reread is not None and report.guarantee == "at_least_once":
        zero |= {"duplicates beyond what was read of a new topic": max(0, account.duplicates - report.reread)}
    elif graceful or report.guarantee == "exactly_once":
        zero |= {"duplicates": account.duplicates, "reordered": account.reordered}
    else:
        zero |= {"duplicates beyond what was in flight": max(0, account.duplicates - report.in_flight)}
        if report.repeat_limit is not None:
            zero |= {"duplicates of a partition beyond one flush": max(0, report.most_repeats - report.repeat_limit)}
    broken = tuple(f"{count} {what}" for what, count in zero.items() if count)
    return (*broken, f"trace: {report.trace}") if report.trace else broken
