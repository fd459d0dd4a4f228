"""Bugs that the worker had, or would have without code that a decision requires, each to be reintroduced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from faust.types import TP

from worker.delivery import exactly_once
from worker.delivery.exactly_once import ExactlyOnce
from worker.kafka import consumer_client, transactions
from worker.kafka.commits import ConsumerCommits, TransactionCommits, positions_of
from worker.kafka.consumer_recovery import DisconnectionTimer, ExpulsionTimer
from worker.kafka.consumer_thread import ConsumerThread
from worker.kafka.delivery_errors import DeliveryError
from worker.kafka.ledger import Ledger
from worker.kafka.outgoing_record import DeliveryReports
from worker.kafka.paused_partitions import PausedPartitions
from worker.scored_batch import ScoredBatch

Change = tuple[object, str, Any]


class Bug(msgspec.Struct, frozen=True):
    """A bug: where it is described, and the changes that reintroduce it."""

    name: str
    record: str
    changes: tuple[Change, ...]
    guarantees: str = ""
    """The guarantee under which it does harm, if it is only one."""


def _enter_as_done(ledger: Ledger, batch: Any) -> None:
    _enter(ledger, batch)
    batch.assignment.finished_to = batch.next_offset


def _reach_end_past_batches(ledger: Ledger, tp: TP, offset: int) -> None:
    assignment = ledger.assignment(tp)
    if assignment is not None:
        assignment.end = assignment.finished_to = offset


def _resume_owned_alone(pauses: PausedPartitions) -> None:
    back = pauses._consumer.assignment()
    if back:
        pauses._consumer.resume([each for each in back if (each.topic, each.partition) in pauses._paused])
    pauses._paused = set()


def _store_once(this: ConsumerThread) -> None:
    this.client.commits.commit_final(this._ledger.owned())


async def _commit_with_metadata_last(this: ExactlyOnce, scored_batches: Sequence[ScoredBatch]) -> None:
    if this._failure is None and (refused := await this._producer().await_deliveries()):
        this._plan_resend(refused)
        this._failure = DeliveryError("records are refused by their topics")
    if this._failure is not None:
        raise this._failure
    if not all(this._ledger.owns(scored_batch.batch) for scored_batch in scored_batches):
        raise DeliveryError("partitions were lost")
    offsets = {each.batch.tp: this._ledger.committable_with(each.batch) for each in scored_batches}
    await this._member().topic_check.confirm(this._member().topic_check.ask())
    await this._commit_offsets(offsets, this._member().group_metadata())


async def _renew_blindly(this: ExactlyOnce, call: str, _scored_batches: Sequence[ScoredBatch]) -> Mapping[TP, int]:
    await this._producer().replace_client(call)
    return {}


async def _wait_for_ever(this: transactions.Transactions, _name: str, operation: Any, _attempt: int = 1) -> None:
    def work(given_up: Any) -> None:
        transactions._repeat(lambda: operation(this._timeouts.call), given_up)

    await transactions._in_thread(work, 1e6)


def _fail_on_fence(error: Any) -> Exception:
    return transactions.DependencyError(f"the Kafka producer cannot go on: {error.name()}: {error.str()}")


def _close_at_once(consumer: Any) -> None:
    consumer.close()


def _ignore_commit_errors(this: ConsumerCommits, _error: Any, positions: Sequence[Any]) -> None:
    this.is_in_flight = False
    this._ledger.mark_committed({TP(each.topic, each.partition): each.offset for each in positions})


def _commit_any_time(this: ConsumerCommits) -> None:
    this.is_in_flight = False
    _do_due_work(this)


async def _idle_beside_transactions(this: ExactlyOnce) -> None:
    """Commit with the consumer what no transaction contains, which the decision rejects."""
    offsets = this._ledger.committable_when_idle(this._ledger.owned())
    if offsets:
        consumer = this._member()._thread.client.consumer  # type: ignore[attr-defined]
        consumer.config = {**consumer.config, "on_commit": lambda _error, _positions: None}
        consumer.commit(offsets=positions_of(offsets, this._ledger.commit_metadata), asynchronous=True)
        this._ledger.mark_committed(offsets)


def _never(*_args: object, **_options: object) -> bool:
    return False


def _always(*_args: object, **_options: object) -> bool:
    return True


def _ignore(*_args: object, **_options: object) -> None:
    pass


class _HastyBudget(exactly_once._RetryBudget):
    @property
    def is_exhausted(self) -> bool:
        return self.aborts >= 10


_enter: Final[Callable[..., None]] = Ledger.add
_do_due_work: Final[Callable[..., None]] = ConsumerCommits.do_due_work

_ALO: Final = "at least once"
_EOS: Final = "exactly once"

BUGS: Final = (
    Bug("offsets committed on arrival", "faults.md", ((Ledger, "add", _enter_as_done),)),
    Bug("no commit on revocation", "faults.md", ((ConsumerCommits, "commit_final", _always),), _ALO),
    Bug("end committed past batches in flight", "decision 45", ((Ledger, "reached_end", _reach_end_past_batches),)),
    Bug("a paused partition comes back paused", "decision 12", ((PausedPartitions, "resume", _resume_owned_alone),)),
    Bug("last commit not tried again", "decision 12", ((ConsumerThread, "_commit_finally", _store_once),), _ALO),
    Bug("no leave without partitions", "decision 12", ((consumer_client, "leave_group", _close_at_once),)),
    Bug("refused commit not given back", "changelog", ((Ledger, "mark_uncommitted", _ignore),), _ALO),
    Bug(
        "refused commit counts as committed",
        "changelog",
        ((ConsumerCommits, "on_result", _ignore_commit_errors),),
        _ALO,
    ),
    Bug("several commits in flight", "changelog", ((ConsumerCommits, "do_due_work", _commit_any_time),), _ALO),
    Bug("failed delivery ignored", "decision 10", ((DeliveryReports, "on_failed_delivery", _ignore),), _ALO),
    Bug("lost client not replaced", "decision 14", ((DisconnectionTimer, "is_too_long", _never),)),
    Bug("expelled client not replaced", "decision 54", ((ExpulsionTimer, "is_too_long", _never),), _EOS),
    Bug(
        "metadata read after the partitions",
        "decision 11",
        ((ExactlyOnce, "_commit", _commit_with_metadata_last),),
        _EOS,
    ),
    Bug("lost partitions done again", "decision 11", ((Ledger, "owns", _always),), _EOS),
    Bug("no fence by the generation", "decision 11", ((TransactionCommits, "on_rebalance", _ignore),), _EOS),
    Bug("ten aborts end the worker", "decision 11", ((exactly_once, "_RetryBudget", _HastyBudget),), _EOS),
    Bug("stuck transaction repeated blindly", "decision 14", ((ExactlyOnce, "_replace_client", _renew_blindly),), _EOS),
    Bug("stuck client not replaced", "decision 14", ((transactions.Transactions, "_call", _wait_for_ever),), _EOS),
    Bug(
        "late EndTxn in the next transaction",
        "decision 47",
        ((transactions.Transactions, "_record_duration", _ignore),),
        _EOS,
    ),
    Bug("fenced client ends the worker", "decision 45", ((transactions, "fatal_error", _fail_on_fence),), _EOS),
    Bug(
        "consumer commits beside transactions", "decision 45", ((ExactlyOnce, "idle", _idle_beside_transactions),), _EOS
    ),
)
