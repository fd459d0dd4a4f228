"""Laws of the account: it finds every kind of wrong, and only that."""

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


def books(results: list[Result], **found: int) -> tuple[Account, Account]:
    """Return what the account must be, zero but for `found`, and what it is."""
    zero = Account(len(SENT), 0, 0, 0, 0, 0, 0, 0)
    return msgspec.structs.replace(zero, **found), settle(SENT, results, EXPECTED)


def test_books_that_balance() -> None:
    """One right result a record, in order: all zeros."""
    expected, account = books(RESULTS)
    assert expected == account


def test_it_finds_a_loss() -> None:
    """A record without a result is lost."""
    expected, account = books(RESULTS[:2] + RESULTS[3:], lost=1)
    assert expected == account


def test_it_finds_all_lost() -> None:
    """Without any result, everything is lost."""
    expected, account = books([], lost=6)
    assert expected == account


def test_it_finds_duplicates() -> None:
    """Second and third results of a record are duplicates; the same bytes do not differ."""
    expected, account = books([*RESULTS, RESULTS[0], RESULTS[0]], duplicates=2)
    assert expected == account


def test_it_finds_duplicates_of_other_bytes() -> None:
    """A repeat whose value is not that of the first differs; so does one that went to the other topic."""
    other = msgspec.structs.replace(RESULTS[0], value=b"score-x")
    misplaced = msgspec.structs.replace(RESULTS[1], topic="dlq", faults=FAULT)
    expected, account = books([*RESULTS, other, misplaced], duplicates=2, differing=2)
    assert expected == account


def test_it_finds_a_reorder_within_a_key() -> None:
    """A key's first results must come in the order of its records: 0 after 2 is one too late."""
    results = [RESULTS[2], RESULTS[1], RESULTS[0], *RESULTS[3:]]
    expected, account = books(results, reordered=1, hidden=2)
    assert expected == account


def test_other_keys_may_overtake() -> None:
    """Order counts within a key alone; a repeat of an earlier result is a duplicate and no reorder."""
    apart = [msgspec.structs.replace(result, partition=n % 2) for n, result in enumerate(RESULTS[:5])]
    results = [apart[1], apart[0], *apart[2:], apart[0], RESULTS[5]]
    expected, account = books(results, duplicates=1)
    assert expected == account


def test_it_finds_the_unexplained() -> None:
    """A result of a record that was never produced is unexplained, each time that it comes."""
    strange = msgspec.structs.replace(RESULTS[0], source=Source("in", 0, 99))
    expected, account = books([*RESULTS, strange, strange], unexplained=2)
    assert expected == account


def test_it_finds_a_wrong_result() -> None:
    """A score of other bytes than scoring gives is wrong; so are a dead letter for a good record, and other faults."""
    wrong = [
        msgspec.structs.replace(RESULTS[0], value=b"score-1"),
        msgspec.structs.replace(RESULTS[1], topic="dlq", faults=FAULT),
        *RESULTS[2:5],
        msgspec.structs.replace(RESULTS[5], faults=()),
    ]
    expected, account = books(wrong, wrong=3)
    assert expected == account


def test_it_finds_what_a_filter_of_repeats_would_hide() -> None:
    """A first result behind a later one of its partition is dropped by a consumer that drops repeats."""
    results = [*RESULTS[:3], RESULTS[4], RESULTS[3], RESULTS[5]]
    expected, account = books(results, hidden=1)
    assert expected == account


def test_the_most_repeats_of_one_partition_count() -> None:
    """Two repeats in one partition and one in another are two; a first result is no repeat."""
    elsewhere = msgspec.structs.replace(RESULTS[0], source=Source("in", 1, 0))
    assert most_repeats([*RESULTS, RESULTS[0], RESULTS[1], elsewhere, elsewhere]) == 2


def test_order_counts_within_a_partition_alone() -> None:
    """A topic that gets more partitions gives a key another one, where offsets begin anew."""
    moved = [Sent(Source("in", 1, 0), b"key-0", b"record")]
    results = [*RESULTS, Result("scores", 0, moved[0].source, b"key-0", b"score-9", None)]
    assert settle([*SENT, *moved], results, [*EXPECTED, Scored(b"score-9")]).reordered == 0


def test_books_of_several_topics_add_up() -> None:
    """Each number is the sum."""
    assert total([Account(1, 2, 3, 4, 5, 6, 7, 8), Account(1, 1, 1, 1, 1, 1, 1, 1)]) == Account(2, 3, 4, 5, 6, 7, 8, 9)
