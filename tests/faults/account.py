"""The account of produced records and results, in the terms of Jepsen's Kafka tests."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from schemas.deduplication import RepeatFilter
from schemas.errors import ValidationIssue
from schemas.records import Source
from tests.support.outcomes import Outcome, Rejected, Scored


class Sent(msgspec.Struct, frozen=True):
    """A record that the broker has acknowledged."""

    source: Source
    key: bytes
    value: bytes | None


class Result(msgspec.Struct, frozen=True):
    """A score or a dead letter in an output partition. `faults` is None for a score.

    `written` is the broker's timestamp, in Unix time.
    """

    topic: str
    partition: int
    source: Source
    key: bytes | None
    value: bytes | None
    faults: tuple[ValidationIssue, ...] | None
    written: float = 0.0


class Account(msgspec.Struct, frozen=True):
    """The counts of each kind of error.

    `lost`: records without a result (Jepsen's lost-write). `duplicates`: second and later results of a source, of
    which `differing` do not have the bytes of the first. `reordered`: first results of a key behind those of a later
    record (nonmonotonic). `unexplained`: results of sources that were never produced, or whose transaction was
    aborted. `wrong`: first results that differ from scoring's. `hidden`: records whose every result a consumer with a
    `RepeatFilter` would drop.
    """

    produced: int
    lost: int
    duplicates: int
    differing: int
    reordered: int
    unexplained: int
    wrong: int
    hidden: int


def settle(sent: Sequence[Sent], results: Sequence[Result], expected: Sequence[Outcome]) -> Account:
    """Return the account. `results` are in the order of each output partition; `expected` is one outcome per record."""
    by_source: dict[Source, list[Result]] = defaultdict(list)
    for result in results:
        by_source[result.source].append(result)
    known = {record.source for record in sent}
    answered = [by_source[record.source] for record in sent if record.source in by_source]
    outcomes = {record.source: outcome for record, outcome in zip(sent, expected, strict=True)}
    return Account(
        produced=len(sent),
        lost=len(known) - len(answered),
        duplicates=sum(len(found) - 1 for found in answered),
        differing=sum(_content(result) != _content(found[0]) for found in answered for result in found[1:]),
        reordered=_reordered(result for result in results if result.source in known),
        unexplained=sum(len(found) for source, found in by_source.items() if source not in known),
        wrong=sum(not _is(found[0], outcomes[found[0].source]) for found in answered),
        hidden=len(answered) - len(_shown(results) & known),
    )


def total(accounts: Iterable[Account]) -> Account:
    """Return the sum of accounts."""
    return Account(*map(sum, zip(*map(msgspec.structs.astuple, accounts), strict=True)))


def most_repeats(results: Iterable[Result], excused: Sequence[Mapping[int, range]] = ()) -> int:
    """Return the number of second and later results in the partition that has the most.

    Records whose offsets are `excused` do not count.
    """
    repeats = Counter[int]()
    for source, count in Counter(result.source for result in results).items():
        if not any(source.offset in offsets.get(source.partition, ()) for offsets in excused):
            repeats[source.partition] += count - 1
    return max(repeats.values(), default=0)


def _content(result: Result) -> tuple[object, ...]:
    return result.topic, result.key, result.value, result.faults


def _is(result: Result, outcome: Outcome) -> bool:
    match outcome:
        case Scored(value):
            return result.faults is None and result.value == value
        case Rejected(faults):
            return result.faults == faults


def _reordered(results: Iterable[Result]) -> int:
    """Count first results behind a later record's of the same key and partition, in an output topic."""
    highest: dict[tuple[str, bytes | None, int], int] = {}
    seen: set[Source] = set()
    behind = 0
    for result in results:
        if result.source in seen:
            continue
        seen.add(result.source)
        stream, offset = (result.topic, result.key, result.source.partition), result.source.offset
        behind += offset < highest.get(stream, -1)
        highest[stream] = max(offset, highest.get(stream, -1))
    return behind


def _shown(results: Iterable[Result]) -> set[Source]:
    """Return the sources of which a consumer that drops repeats sees a result."""
    filters: dict[str, RepeatFilter] = defaultdict(RepeatFilter)
    return {result.source for result in results if filters[result.topic].is_new(result.partition, result.source)}
