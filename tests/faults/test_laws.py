"""Which results of a run violate its guarantee."""

from __future__ import annotations

import msgspec
import pytest

from tests.faults.__main__ import GUARANTEES
from tests.faults.account import Account
from tests.faults.laws import broken_laws
from tests.faults.run import Guarantee, Report

CLEAN = Account(100, 0, 0, 0, 0, 0, 0, 0)


def judged(guarantee: Guarantee, *, graceful: bool = False, in_flight: int = 0, **found: int) -> tuple[str, ...]:
    account = msgspec.structs.replace(CLEAN, **found)
    return broken_laws(Report("plan", guarantee, account=account, in_flight=in_flight), graceful=graceful)


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_nothing_may_be_lost_unexplained_or_wrong(guarantee: Guarantee) -> None:
    """A lost, unexplained or wrong result is a violation under any guarantee."""
    found = [
        judged(guarantee, lost=1),
        judged(guarantee, unexplained=2),
        judged(guarantee, wrong=3),
    ]
    assert found == [("1 lost",), ("2 unexplained",), ("3 wrong",)]


def test_a_clean_run_violates_nothing() -> None:
    """A run whose numbers are all zero violates nothing."""
    assert (judged("at_least_once"), judged("exactly_once", graceful=True)) == ((), ())


def test_at_least_once_may_repeat_what_was_in_flight() -> None:
    """At-least-once may repeat as many results as were in flight, and no more."""
    beyond = judged("at_least_once", in_flight=10, duplicates=11)
    assert (
        judged("at_least_once", in_flight=10, duplicates=10, reordered=1),
        beyond,
    ) == ((), ("1 duplicates beyond what was in flight",))


def test_a_graceful_plan_repeats_nothing() -> None:
    """A repeat in a graceful plan is a violation, whatever was in flight."""
    assert judged("at_least_once", graceful=True, in_flight=10, duplicates=1) == ("1 duplicates",)


def test_exactly_once_repeats_nothing() -> None:
    """A repeat under exactly-once is a violation, whatever was in flight."""
    assert judged("exactly_once", in_flight=10, duplicates=1, reordered=1) == (
        "1 duplicates",
        "1 reordered",
    )


def test_exit_codes_and_commits_are_checked() -> None:
    """A worker must exit with 0 on SIGTERM, and each partition must be committed to its end."""
    report = Report("plan", "at_least_once", account=CLEAN, bad_stops=(1, -9), behind=1)
    expected = ("1 partitions not committed to their end", "2 stops without exit code 0")
    assert expected == broken_laws(report, graceful=False)


def test_a_failed_run_is_a_violation() -> None:
    """A run that failed is a violation, with the reason."""
    report = Report("plan", "at_least_once", problem="no results come")
    assert broken_laws(report, graceful=False) == ("no results come",)


def test_a_plan_can_limit_repeats_per_partition() -> None:
    """The limit of a plan applies whatever was in flight; exactly-once repeats nothing anyway."""
    account = msgspec.structs.replace(CLEAN, duplicates=30)
    found = [
        broken_laws(
            Report("plan", "at_least_once", account=account, in_flight=99, most_repeats=repeats, repeat_limit=20),
            graceful=False,
        )
        for repeats in (20, 21)
    ]
    assert found == [(), ("1 duplicates of a partition beyond one flush",)]


def test_records_read_before_a_recreation_was_noticed_may_repeat() -> None:
    """They may repeat in any order, but no others; under exactly-once none may."""
    account = msgspec.structs.replace(CLEAN, duplicates=30, reordered=5)
    found = [
        broken_laws(Report("plan", guarantee, account=account, reread=reread), graceful=False)
        for guarantee in GUARANTEES["both"]
        for reread in (30, 29)
    ]
    repeats = ("30 duplicates", "5 reordered")
    assert found == [(), ("1 duplicates beyond what was read of a new topic",), repeats, repeats]
