"""The account of records and results finds every kind of error, and nothing else."""

from __future__ import annotations

import msgspec

from schemas.errors import RejectionCode, ValidationIssue
from schemas.records import Source
from tests.faults.account import Account, Result, Sent, most_repeats, settle, total
from tests.support.outcomes import Outcome, Rejected, Scored

FAULT = (ValidationIssue(RejectionCode.NOT_JSON, "", "expected JSON"),)
SENT = [Sent(Source("in", 0, offset), b"key-%d" % (offset % 2), b"record") for offset in range(6)]
EXPECTED: list[Outcome] = [*(Scored(b"score-%d" % offset) for offset in range(5)), Rejected(FAULT)]
RESULTS = [
    *(Result("scores", 0, sent.source, sent.key, b"score-%d" % sent.source.offset, None) for sent in SENT[:5]),
    Result("dlq", 0, SENT[5].source, SENT[5].key, b"record", FAULT),
]


def accounts(results: list[Result], **found: int) -> tuple[Account, Account]:
    """Return the expected account, zero except for `found`, and the actual one."""
    zero = Account(len(SENT), 0, 0, 0, 0, 0, 0, 0)
    return msgspec.structs.replace(zero, **found), settle(SENT, results, EXPECTED)


def test_a_correct_run_is_all_zeros() -> None:
    """One correct result per record, in order, gives zeros."""
    expected, account = accounts(RESULTS)
    assert expected == account


def test_it_finds_a_loss() -> None:
    """A record without a result is lost."""
    expected, account = accounts(RESULTS[:2] + RESULTS[3:], lost=1)
    assert expected == account


def test_it_finds_all_lost() -> None:
    """Without any result every record is lost."""
    expected, account = accounts([], lost=6)
    assert expected == account


def test_it_finds_duplicates() -> None:
    """Further results of a record are duplicates; equal bytes do not count as differing."""
    expected, account = accounts([*RESULTS, RESULTS[0], RESULTS[0]], duplicates=2)
    assert expected == account


def test_it_finds_differing_duplicates() -> None:
    """A duplicate with another value, or in the other topic, is a differing one."""
    other = msgspec.structs.replace(RESULTS[0], value=b"score-x")
    misplaced = msgspec.structs.replace(RESULTS[1], topic="dlq", faults=FAULT)
    expected, account = accounts([*RESULTS, other, misplaced], duplicates=2, differing=2)
    assert expected == account


def test_it_finds_a_reorder_within_a_key() -> None:
    """A key's first results must be in the order of its records: 0 after 2 is one reordering."""
    results = [RESULTS[2], RESULTS[1], RESULTS[0], *RESULTS[3:]]
    expected, account = accounts(results, reordered=1, hidden=2)
    assert expected == account


def test_order_matters_within_a_key_only() -> None:
    """A repeat of an earlier result is a duplicate, not a reordering."""
    apart = [msgspec.structs.replace(result, partition=n % 2) for n, result in enumerate(RESULTS[:5])]
    results = [apart[1], apart[0], *apart[2:], apart[0], RESULTS[5]]
    expected, account = accounts(results, duplicates=1)
    assert expected == account


def test_it_finds_unexplained_results() -> None:
    """Each result of a record that was never produced counts."""
    strange = msgspec.structs.replace(RESULTS[0], source=Source("in", 0, 99))
    expected, account = accounts([*RESULTS, strange, strange], unexplained=2)
    assert expected == account


def test_it_finds_a_wrong_result() -> None:
    """Bytes other than scoring's, a dead letter of a valid record, or other issues are wrong."""
    wrong = [
        msgspec.structs.replace(RESULTS[0], value=b"score-1"),
        msgspec.structs.replace(RESULTS[1], topic="dlq", faults=FAULT),
        *RESULTS[2:5],
        msgspec.structs.replace(RESULTS[5], faults=()),
    ]
    expected, account = accounts(wrong, wrong=3)
    assert expected == account


def test_it_finds_results_that_a_repeat_filter_would_drop() -> None:
    """A first result behind a later one of its partition would be dropped."""
    results = [*RESULTS[:3], RESULTS[4], RESULTS[3], RESULTS[5]]
    expected, account = accounts(results, hidden=1)
    assert expected == account


def test_the_most_repeats_of_one_partition_count() -> None:
    """Two repeats in one partition and one in another are two; a first result is not a repeat."""
    other_partition = msgspec.structs.replace(RESULTS[0], source=Source("in", 1, 0))
    results = [*RESULTS, RESULTS[0], RESULTS[1], other_partition, other_partition]
    assert most_repeats(results) == 2
    excused = [{0: range(RESULTS[0].source.offset, RESULTS[0].source.offset + 1)}, {1: range(5, 9)}]
    assert most_repeats(results, excused) == 1


def test_order_matters_within_a_partition_only() -> None:
    """After partitions were added, a key moves to another one, where offsets start at 0."""
    moved = [Sent(Source("in", 1, 0), b"key-0", b"record")]
    results = [*RESULTS, Result("scores", 0, moved[0].source, b"key-0", b"score-9", None)]
    assert settle([*SENT, *moved], results, [*EXPECTED, Scored(b"score-9")]).reordered == 0


def test_accounts_of_several_topics_add_up() -> None:
    """Each number of the total is the sum of the accounts."""
    assert total([Account(1, 2, 3, 4, 5, 6, 7, 8), Account(1, 1, 1, 1, 1, 1, 1, 1)]) == Account(2, 3, 4, 5, 6, 7, 8, 9)
