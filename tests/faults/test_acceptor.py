"""The acceptor allows every trace that the model allows, and refuses a trace with one mistake in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.faults.acceptor import Guarantee, refusal
from tests.faults.mutants import every_mutant, some_mutants
from tests.faults.trace import Step, read_trace

RECORDS: Final = {0: [*range(50), *range(60, 100)], 1: list(range(100))}
"""Partition 0 has ten offsets without a record, as an aborted transaction leaves them."""


def logged(*lines: tuple[str, str, dict[str, object]], folder: Path) -> list[Step]:
    """Write (worker, event, fields) as the workers' logs, a second apart, and read them as the suite does."""
    folder.mkdir()
    for second, (worker, event, fields) in enumerate(lines):
        line = {**fields, "event": event, "level": "debug", "timestamp": f"2026-01-01T00:{second:02}:00.000000Z"}
        with (folder / f"{worker}.log").open("a") as log:
            log.write(json.dumps(line) + "\n")
    return read_trace(sorted(folder.iterdir()))


def assigned(worker: str, **positions: int | None) -> tuple[str, str, dict[str, object]]:
    return worker, "partitions assigned", {"positions": {name[1:]: at for name, at in positions.items()}}


def flush(worker: str, first: int, end: int, offset: int | None = None) -> list[tuple[str, str, dict[str, object]]]:
    """One successful transaction on partition 0."""
    offsets = {"0": end if offset is None else offset}
    return [
        (worker, "transaction begun", {}),
        (worker, "offsets sent", {"offsets": offsets}),
        (worker, "offsets committed", {"offsets": offsets, "transactional": True}),
        (worker, "flush confirmed", {"ranges": {"0": [[first, end]]}}),
    ]


def exactly_once(folder: Path) -> list[Step]:
    """Every step: an abort, a client that hangs after a successful commit, a zombie, an unresolved commit."""
    both = {"offsets": {"0": 80, "1": 10}}
    return logged(
        assigned("a", p0=None, p1=None),
        *flush("a", 0, 20),
        ("a", "transaction begun", {}),
        ("a", "offsets sent", {"offsets": {"0": 50}}),
        ("a", "transaction aborted", {"reason": "ILLEGAL_GENERATION"}),
        *flush("a", 20, 50, offset=60),
        ("a", "transaction begun", {}),
        ("a", "offsets sent", both),
        ("a", "producer replaced", {"call": "commit_transaction"}),
        ("a", "transaction settled", {"committed": 2, "again": 0}),
        ("a", "flush confirmed", {"ranges": {"0": [[60, 80]], "1": [[0, 10]]}}),
        ("a", "partitions revoked", {"numbers": [1], "drained": True}),
        assigned("b", p1=10),
        ("a", "transaction begun", {}),
        ("a", "offsets sent", {"offsets": {"0": 90}}),
        assigned("b", p0=90),
        ("a", "offsets committed", {"offsets": {"0": 90}, "transactional": True}),
        ("a", "partitions lost", {"numbers": [0]}),
        ("b", "transaction begun", {}),
        ("b", "offsets sent", {"offsets": {"0": 95}}),
        ("b", "transaction call slow", {"call": "commit_transaction", "seconds": 0.9}),
        ("b", "offsets committed", {"offsets": {"0": 95}, "transactional": True}),
        ("b", "flush confirmed", {"ranges": {"0": [[90, 95]]}}),
        ("b", "producer replaced", {"call": "commit_transaction"}),
        *flush("b", 95, 100),
        ("b", "partitions revoked", {"numbers": [0, 1], "drained": True}),
        folder=folder,
    )


def at_least_once(folder: Path) -> list[Step]:
    """Confirmations and commits, a loss of uncommitted records, and an offset behind the last record."""
    return logged(
        assigned("a", p0=None),
        ("a", "flush confirmed", {"ranges": {"0": [[0, 20]]}}),
        ("a", "flush confirmed", {"ranges": {"0": [[20, 50], [60, 70]]}}),
        ("a", "offsets committed", {"offsets": {"0": 20}}),
        ("a", "partitions lost", {"numbers": [0]}),
        assigned("b", p0=20),
        ("b", "flush confirmed", {"ranges": {"0": [[20, 50]]}}),
        ("b", "offsets committed", {"offsets": {"0": 60}}),
        ("b", "flush confirmed", {"ranges": {"0": [[60, 100]]}}),
        ("b", "offsets committed", {"offsets": {"0": 102}}),
        ("b", "partitions revoked", {"numbers": [0], "drained": True}),
        folder=folder,
    )


TRACES: Final = {"exactly_once": exactly_once, "at_least_once": at_least_once}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_what_the_model_allows_is_accepted(guarantee: Guarantee, tmp_path: Path) -> None:
    """For each guarantee, a trace with every step is accepted."""
    assert refusal(TRACES[guarantee](tmp_path / "logs"), guarantee, RECORDS) == ""


UNSEEN: Final[dict[str, dict[str, int]]] = {
    "exactly_once": {
        # It was aborted: whether offsets had been sent makes no difference, nor which.
        "drop OffsetsSent": 1,
        "forge OffsetsSent": 1,
        # A process may be killed before it logs what it did.
        "drop Committed": 1,
        "drop Confirmed": 1,
        "drop Lost": 1,
        "drop Revoked": 2,
        "duplicate Replaced": 1,
        "duplicate SentAgain": 1,
        # Steps that do not depend on each other.
        "swap Assigned": 2,
        "swap Committed": 1,
        "swap Confirmed": 2,
        "swap OffsetsSent": 1,
        "swap Revoked": 1,
        "swap SentAgain": 1,
    },
    "at_least_once": {
        "drop Committed": 2,
        "drop Confirmed": 1,
        "drop Lost": 1,
        "drop Revoked": 1,
        # To commit an offset again, or one behind the last record, is harmless.
        "duplicate Committed": 3,
        "forge Committed": 1,
        "swap Committed": 2,
        "swap Confirmed": 1,
    },
}


@pytest.mark.parametrize(("guarantee", "mutants"), [("at_least_once", 39), ("exactly_once", 122)])
def test_a_trace_with_a_mistake_is_refused(guarantee: Guarantee, mutants: int, tmp_path: Path) -> None:
    """Each step dropped, duplicated, swapped or forged is refused, except for indistinguishable mutants."""
    every = list(every_mutant(TRACES[guarantee](tmp_path / "logs")))
    accepted = Counter(f"{each.kind} {each.step.action}" for each in every if not each.is_refused(guarantee, RECORDS))
    assert (len(every), accepted) == (mutants, UNSEEN[guarantee])


def zombie(folder: Path) -> list[Step]:
    """A worker commits after another one began before that offset."""
    return logged(
        assigned("a", p0=None),
        ("a", "transaction begun", {}),
        ("a", "offsets sent", {"offsets": {"0": 20}}),
        assigned("b", p0=None),
        ("a", "offsets committed", {"offsets": {"0": 20}, "transactional": True}),
        folder=folder,
    )


def uncertain(folder: Path) -> list[Step]:
    """A producer begins another transaction after a request that may have been sent twice."""
    slow = ("a", "transaction call slow", {"call": "abort_transaction", "seconds": 0.9})
    return logged(assigned("a", p0=None), *flush("a", 0, 20), slow, *flush("a", 20, 50), folder=folder)


def early(folder: Path) -> list[Step]:
    """An offset is committed behind a record whose result is not confirmed."""
    committed = ("a", "offsets committed", {"offsets": {"0": 21}})
    confirmed = ("a", "flush confirmed", {"ranges": {"0": [[0, 20]]}})
    return logged(assigned("a", p0=None), confirmed, committed, folder=folder)


def passed_over(folder: Path) -> list[Step]:
    """A flush skips the next record."""
    return logged(assigned("a", p0=None), *flush("a", 0, 20), *flush("a", 21, 50), folder=folder)


@pytest.mark.parametrize(
    ("trace", "guarantee", "reason"),
    [
        (zombie, "exactly_once", "Committed {0: 20} by a: another worker had taken over before"),
        (uncertain, "exactly_once", "Begun by a: a request may have been sent twice, and there is no new producer"),
        (early, "at_least_once", "Committed {0: 21} by a: a record before this offset has no confirmed result"),
        (passed_over, "exactly_once", "Confirmed {0: [(21, 50)]} by a: a record was passed over"),
    ],
)
def test_a_refusal_says_which_step_and_why(
    trace: Callable[[Path], list[Step]], guarantee: Guarantee, reason: str, tmp_path: Path
) -> None:
    """Each bug that the suite looks for is refused with the step and the reason."""
    assert refusal(trace(tmp_path / "logs"), guarantee, RECORDS) == reason


def test_an_unresolved_commit_of_a_lost_partition_is_possible(tmp_path: Path) -> None:
    """The client hangs in a commit and its partition is lost: nobody learns whether it succeeded."""
    steps = logged(
        assigned("a", p0=None),
        ("a", "transaction begun", {}),
        ("a", "offsets sent", {"offsets": {"0": 20}}),
        ("a", "partitions lost", {"numbers": [0]}),
        ("a", "producer replaced", {"call": "commit_transaction"}),
        ("a", "transaction settled", {"committed": 0, "again": 0}),
        ("a", "flush confirmed", {"ranges": {}}),
        assigned("a", p0=20),
        *flush("a", 20, 50),
        folder=tmp_path / "logs",
    )
    assert refusal(steps, "exactly_once", RECORDS) == ""


def test_a_member_that_was_dropped_before_its_assignment_took_no_partition(tmp_path: Path) -> None:
    """Its responses were late: the partition stayed with the other member, which may commit."""
    steps = logged(
        assigned("a", p0=None),
        ("a", "transaction begun", {}),
        assigned("b", p0=None),
        ("b", "partitions lost", {"numbers": [0]}),
        *flush("a", 0, 20)[1:],
        folder=tmp_path / "logs",
    )
    assert refusal(steps, "exactly_once", RECORDS) == ""


def test_a_recreated_topic_begins_at_its_first_record(tmp_path: Path) -> None:
    """Earlier commits do not apply to a recreated topic; for the same topic its offsets are refused."""
    steps = logged(assigned("a", p0=None), *flush("a", 0, 20), assigned("b", p0=None), folder=tmp_path / "logs")
    verdicts = [refusal(steps, "exactly_once", RECORDS, is_replaced=replaced) for replaced in (True, False)]
    reason = "Assigned {0: None} by b: it begins at the first record, but an offset is committed"
    assert verdicts == ["", reason]


def test_incomplete_log_lines_are_skipped(tmp_path: Path) -> None:
    """A killed worker leaves a partial line, and other text is not JSON."""
    steps = at_least_once(tmp_path / "logs")
    for text in ('{"event": "offsets comm', "Traceback (most recent call last):\n"):
        with (tmp_path / "logs" / "b.log").open("a") as log:
            log.write(text)
    assert read_trace(sorted((tmp_path / "logs").iterdir())) == steps


def test_mutants_are_determined_by_the_seed(tmp_path: Path) -> None:
    """A seed gives the same number of mutants of each kind, and the same ones each time."""
    steps = exactly_once(tmp_path / "logs")
    once, again = list(some_mutants(steps, 5, seed=3)), list(some_mutants(steps, 5, seed=3))
    assert once == again
    assert Counter(mutant.kind for mutant in once) == {"drop": 5, "duplicate": 5, "swap": 5, "forge": 5}


@pytest.mark.parametrize("learned", [1, 0])
def test_a_commit_whose_sender_lost_its_partitions_may_have_happened(learned: int, tmp_path: Path) -> None:
    """Both its response and the partition are lost: the next owner may begin behind it, whether or not it is logged."""
    steps = logged(
        assigned("a", p0=None),
        ("a", "transaction begun", {}),
        ("a", "offsets sent", {"offsets": {"0": 40}}),
        ("a", "partitions lost", {"numbers": [0]}),
        ("a", "producer replaced", {"call": "commit_transaction"}),
        ("a", "transaction settled", {"committed": learned, "again": 0}),
        ("a", "flush confirmed", {"ranges": {}}),
        assigned("b", p0=40),
        folder=tmp_path / "logs",
    )
    assert refusal(steps, "exactly_once", RECORDS) == ""
