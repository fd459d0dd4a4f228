"""Everything that a process can say: one frozen class a fact, whose `emit` writes its metric and its log line.

Business code emits events and neither logs nor counts. No event holds a patient's value or id. docs/telemetry.md is
made from this module and `runtime.metrics`.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, get_args

import msgspec
import structlog

from runtime import metrics, rejections
from runtime.repeats import Repeats

_log: Final = structlog.get_logger("heartstream")
_troubles: Final = Repeats()
_rejected: Final = rejections.RejectionTally(10.0, time.monotonic)
"""What is not in the log yet, for at most ten seconds."""


def is_debugging() -> bool:
    """Say whether lines at level DEBUG are written: an event for these alone need not be made otherwise."""
    return logging.getLogger("heartstream").isEnabledFor(logging.DEBUG)


def render_metrics() -> tuple[bytes, str]:
    """Return all metrics in Prometheus text format, and their content type."""
    return metrics.render()


class ProcessStarted(msgspec.Struct, frozen=True):
    """A process that serves metrics has begun to start."""

    role: str
    version: str

    def emit(self) -> None:
        """Log it; show it as an info metric."""
        metrics.PROCESS.labels(self.role, self.version).set(1)
        _log.info("process started", role=self.role, version=self.version)


class ModelLoaded(msgspec.Struct, frozen=True):
    """A model is verified, proven and in use."""

    name: str
    version: str
    digest: str
    engine: str
    fallback_reason: str | None
    watches_drift: bool

    def emit(self) -> None:
        """Log it, as a warning where no fast engine could be used; show it as an info metric."""
        metrics.MODEL.clear()
        metrics.MODEL.labels(self.name, self.version, self.digest, self.engine).set(1)
        log = _log.bind(
            name=self.name,
            version=self.version,
            digest=self.digest,
            engine=self.engine,
            watches_drift=self.watches_drift,
        )
        if self.fallback_reason is None:
            log.info("model loaded")
        else:
            log.warning("model loaded without a fast engine", reason=self.fallback_reason)


class ModelSwapped(msgspec.Struct, frozen=True):
    """Another model takes over between two batches."""

    def emit(self) -> None:
        """Count and log it."""
        metrics.MODEL_CHANGES.labels("swapped").inc()
        metrics.MODEL_REFUSED.set(0)
        _log.info("model swapped")


class ModelWithdrawn(msgspec.Struct, frozen=True):
    """A model had to go while it was on trial; the one before is in use again."""

    reason: str

    def emit(self) -> None:
        """Count it; log it as an error."""
        metrics.MODEL_CHANGES.labels("withdrawn").inc()
        metrics.MODEL_REFUSED.set(1)
        _log.error("model withdrawn", reason=self.reason)


class ModelRefused(msgspec.Struct, frozen=True):
    """What is there to be served cannot be, and the model in use stays."""

    reason: str

    def emit(self) -> None:
        """Count it; log it as an error."""
        metrics.MODEL_CHANGES.labels("refused").inc()
        metrics.MODEL_REFUSED.set(1)
        _log.error("model refused", reason=self.reason)


class ModelAgreed(msgspec.Struct, frozen=True):
    """What is there to be served is what is in use, again."""

    def emit(self) -> None:
        """Log it."""
        metrics.MODEL_REFUSED.set(0)
        _log.info("model in use is the one to be served again")


class CanaryLoaded(msgspec.Struct, frozen=True):
    """A challenger is to answer for a share of the keys."""

    name: str
    version: str
    digest: str
    share: float

    def emit(self) -> None:
        """Log it; show it as an info metric."""
        metrics.CANARY.labels(self.name, self.version, self.digest).set(1)
        _log.info("canary loaded", name=self.name, version=self.version, digest=self.digest, share=self.share)


class CanaryRefused(msgspec.Struct, frozen=True):
    """The challenger that is to answer for a share of the keys cannot; the model in use answers for all."""

    reason: str

    def emit(self) -> None:
        """Show it; log it as an error."""
        metrics.CANARY_REFUSED.set(1)
        _log.error("canary refused", reason=self.reason)


class CanaryScored(msgspec.Struct, frozen=True):
    """The canary had its part in a batch."""

    scored: int
    rejected: int

    def emit(self) -> None:
        """Count it."""
        metrics.CANARY_RECORDS.labels("scored").inc(self.scored)
        metrics.CANARY_RECORDS.labels("rejected").inc(self.rejected)


class CanaryWithdrawn(msgspec.Struct, frozen=True):
    """The canary had to go; the model in use answers for all keys."""

    reason: str

    def emit(self) -> None:
        """Show it; log it as an error."""
        metrics.CANARY.clear()
        metrics.CANARY_REFUSED.set(1)
        _log.error("canary withdrawn", reason=self.reason)


class ModelsCompared(msgspec.Struct, frozen=True):
    """Champion and challenger have scored the same records; `one_alone` are records that only one of them could score.

    `higher` and `lower` add up by how much the challenger's risks lie above and below the champion's.
    """

    same_label: int
    other_label: int
    one_alone: int
    higher: float
    lower: float
    champion_seconds: float
    challenger_seconds: float

    def emit(self) -> None:
        """Count it."""
        for outcome in ("same_label", "other_label", "one_alone"):
            metrics.SHADOW_RECORDS.labels(outcome).inc(getattr(self, outcome))
        for direction in ("higher", "lower"):
            metrics.SHADOW_DIFFERENCE.labels(direction).inc(getattr(self, direction))
        metrics.SHADOW_SECONDS.labels("champion").inc(self.champion_seconds)
        metrics.SHADOW_SECONDS.labels("challenger").inc(self.challenger_seconds)


class ScoreRefused(msgspec.Struct, frozen=True):
    """The topic of the scores does not take one: a dead letter goes out in its place, if `is_letter`."""

    code: str
    is_letter: bool

    def emit(self) -> None:
        """Count it as a fault of its record, and log it."""
        if self.is_letter:
            metrics.RECORD_FAULTS.labels("kafka", self.code).inc()
        repeats = _troubles.left_out(("scores", self.code))
        if repeats is not None:
            _log.warning("score refused", code=self.code, dead_letter=self.is_letter, repeats=repeats)


class BatchScored(msgspec.Struct, frozen=True):
    """A door has the outcomes of a batch. `fault_codes` has one code a fault."""

    door: str
    scored: int
    rejected: int
    fault_codes: tuple[str, ...]
    seconds: float

    def emit(self) -> None:
        """Count records and faults. What is rejected is logged by `RecordsRejected`."""
        metrics.RECORDS.labels(self.door, "scored").inc(self.scored)
        metrics.BATCH_RECORDS.labels(self.door).observe(self.scored + self.rejected)
        metrics.BATCH_SECONDS.labels(self.door).observe(self.seconds)
        if self.rejected:
            metrics.RECORDS.labels(self.door, "rejected").inc(self.rejected)
            for code, faults in Counter(self.fault_codes).items():
                metrics.RECORD_FAULTS.labels(self.door, code).inc(faults)
            _rejected.note(self.door, self.rejected, self.fault_codes)
            _tell(_rejected.due())


class DriftMeasured(msgspec.Struct, frozen=True):
    """How the records that were scored last differ from the training rows: by field, None where too few tell.

    `score_psi` is that of the risks of `model`.
    """

    model: str
    records: int
    psi: Mapping[str, float | None]
    missing: Mapping[str, float | None]
    out_of_range: Mapping[str, float | None]
    score_psi: float | None

    def emit(self) -> None:
        """Show it; a value that is not known is not shown."""
        metrics.DRIFT_RECORDS.set(self.records)
        metrics.show(metrics.DRIFT_PSI, self.psi)
        metrics.show(metrics.DRIFT_MISSING, self.missing)
        metrics.show(metrics.DRIFT_OUT_OF_RANGE, self.out_of_range)
        metrics.show(metrics.DRIFT_SCORE_PSI, {self.model: self.score_psi})


class OutcomesJudged(msgspec.Struct, frozen=True):
    """Known outcomes were joined with scores: figures by model, digest and window ("all" or "last").

    A figure that too few outcomes tell is None; `left_out` counts by why.
    """

    figures: Mapping[tuple[str, str, str], Mapping[str, float | None]]
    left_out: Mapping[str, int]

    def emit(self) -> None:
        """Show it; what is no longer known is no longer shown."""
        gauges = {
            "outcomes": metrics.OUTCOMES,
            "ratio": metrics.OUTCOMES_RATIO,
            "ratio_low": metrics.OUTCOMES_RATIO_LOW,
            "ratio_high": metrics.OUTCOMES_RATIO_HIGH,
            "brier": metrics.OUTCOMES_BRIER,
            "constant_brier": metrics.OUTCOMES_CONSTANT_BRIER,
            "intercept": metrics.OUTCOMES_INTERCEPT,
            "roc_auc": metrics.OUTCOMES_ROC_AUC,
        }
        for name, gauge in gauges.items():
            gauge.clear()
            for labels, figures in self.figures.items():
                if (value := figures[name]) is not None:
                    gauge.labels(*labels).set(value)
        metrics.show(metrics.OUTCOMES_LEFT_OUT, self.left_out)


class RecordsRejected(msgspec.Struct, frozen=True):
    """A door rejected records within `seconds`: told at once of the first, then of all since, every 10 s at most."""

    door: str
    records: int
    codes: tuple[str, ...]
    seconds: float

    def emit(self) -> None:
        """Log it."""
        seconds = round(self.seconds, 1)
        _log.warning("records rejected", door=self.door, records=self.records, codes=self.codes, seconds=seconds)


def _tell(told: Iterable[rejections.Rejections]) -> None:
    for each in told:
        RecordsRejected(each.door, each.records, each.codes, each.seconds).emit()


class BatchDelivered(msgspec.Struct, frozen=True):
    """The broker has confirmed every result of a batch of `records`, `seconds` after it was taken up.

    `at`, and the timestamps of its oldest and newest record, are in Unix time; None where a record has no timestamp,
    or nobody waits for its outcome.
    `dead_letter_codes` has one code a dead letter.
    """

    seconds: float
    at: float
    records: int
    oldest: float | None
    newest: float | None
    dead_letter_codes: tuple[str, ...]

    def emit(self) -> None:
        """Note the progress, how long the records took, and the dead letters."""
        metrics.DELIVERY_SECONDS.observe(self.seconds)
        metrics.PROGRESS.set(self.at)
        if self.oldest is not None and self.newest is not None:
            # A clock that is ahead of ours is no reason for a time below zero; nor is the first record always older.
            first, last = max(0.0, self.at - self.oldest), max(0.0, self.at - self.newest)
            metrics.LATENCY_SECONDS.observe(min(first, last), max(first, last), self.records)
        for code, letters in Counter(self.dead_letter_codes).items():
            metrics.DEAD_LETTERS.labels(code).inc(letters)


class TransactionAborted(msgspec.Struct, frozen=True):
    """A transaction could not be committed: nothing of it is visible, and it is done again."""

    reason: str

    def emit(self) -> None:
        """Count and log it."""
        metrics.COMMITS.labels("aborted").inc()
        _log.warning("transaction aborted", reason=self.reason)


class TransactionCallSlow(msgspec.Struct, frozen=True):
    """A call took so long that the client may have sent a request twice: a new one does the next transaction."""

    call: str
    seconds: float

    def emit(self) -> None:
        """Log it; the new client is counted."""
        _log.info("transaction call slow", call=self.call, seconds=round(self.seconds, 3))


class ProducerReplaced(msgspec.Struct, frozen=True):
    """The transactional client did not come back from a call, or was slow: a new one with its id takes its place."""

    call: str

    def emit(self) -> None:
        """Count and log it."""
        metrics.PRODUCER_REPLACEMENTS.inc()
        _log.warning("producer replaced", call=self.call)


class BatchesLimited(msgspec.Struct, frozen=True):
    """An output topic takes smaller batches than the client sends: from now on they have at most so many bytes."""

    size: int

    def emit(self) -> None:
        """Log it."""
        _log.info("batches limited", batch_bytes=self.size)


class ConsumerReplaced(msgspec.Struct, frozen=True):
    """A consumer's client without partitions found neither group nor broker for long: a new one takes its place."""

    def emit(self) -> None:
        """Count and log it."""
        metrics.CONSUMER_REPLACEMENTS.inc()
        _log.warning("consumer replaced")


class TransactionSettled(msgspec.Struct, frozen=True):
    """The group's offsets tell what a client left that was stuck: partitions whose results are there, or come again."""

    committed: int
    again: int

    def emit(self) -> None:
        """Count and log it."""
        metrics.COMMITS.labels("aborted" if self.again else "stored").inc()
        _log.warning("transaction settled", committed=self.committed, again=self.again)


class FlushConfirmed(msgspec.Struct, frozen=True):
    """The broker has every result of a flush. `ranges` are the offsets of its records by partition, end excluded."""

    ranges: Mapping[int, Sequence[Sequence[int]]]

    def emit(self) -> None:
        """Log it for debugging."""
        _log.debug("flush confirmed", ranges=self.ranges)


class TransactionBegun(msgspec.Struct, frozen=True):
    """A transaction is open."""

    def emit(self) -> None:
        """Log it for debugging."""
        _log.debug("transaction begun")


class OffsetsSent(msgspec.Struct, frozen=True):
    """These offsets, by partition, are about to be added to the open transaction, which is then committed."""

    offsets: Mapping[int, int]

    def emit(self) -> None:
        """Log it for debugging."""
        _log.debug("offsets sent", offsets=self.offsets)


class OffsetsCommitted(msgspec.Struct, frozen=True):
    """The broker has stored offsets, by partition: inside a transaction if `transactional`, else by the consumer."""

    offsets: Mapping[int, int]
    transactional: bool = False

    def emit(self) -> None:
        """Count it; log it for debugging."""
        metrics.COMMITS.labels("stored").inc()
        _log.debug("offsets committed", offsets=self.offsets, transactional=self.transactional)


class OffsetCommitFailed(msgspec.Struct, frozen=True):
    """The broker did not store offsets: they are committed again, or read again by the partitions' new owner."""

    reason: str
    partitions: int

    def emit(self) -> None:
        """Count and log it."""
        metrics.COMMITS.labels("failed").inc()
        _log.warning("offset commit failed", reason=self.reason, partitions=self.partitions)


class PartitionsAssigned(msgspec.Struct, frozen=True):
    """The group gave partitions to this worker, which now has `owned`.

    `positions` are the offsets from which it reads them; None is the first record.
    """

    positions: Mapping[int, int | None]
    owned: int

    def emit(self) -> None:
        """Count and log it."""
        metrics.REBALANCES.labels("assigned").inc()
        metrics.PARTITIONS.set(self.owned)
        for reason in get_args(PauseReason):
            metrics.PAUSED.labels(reason)  # a gauge that was never set has no series, and its panel no data
        _log.info(
            "partitions assigned", partitions=len(self.positions), owned=self.owned, positions=dict(self.positions)
        )


class PartitionsRevoked(msgspec.Struct, frozen=True):
    """The group takes partitions back. `drained` says if all that was started on them is confirmed and committed."""

    numbers: Sequence[int]
    owned: int
    drained: bool

    def emit(self) -> None:
        """Count and log it."""
        metrics.REBALANCES.labels("revoked").inc()
        metrics.PARTITIONS.set(self.owned)
        _log.info(
            "partitions revoked",
            partitions=len(self.numbers),
            owned=self.owned,
            drained=self.drained,
            numbers=list(self.numbers),
        )


class PartitionsLost(msgspec.Struct, frozen=True):
    """Partitions went to others without notice: what was in flight on them will be repeated there."""

    numbers: Sequence[int]
    owned: int

    def emit(self) -> None:
        """Count and log it."""
        metrics.REBALANCES.labels("lost").inc()
        metrics.PARTITIONS.set(self.owned)
        _log.warning("partitions lost", partitions=len(self.numbers), owned=self.owned, numbers=list(self.numbers))


class LagMeasured(msgspec.Struct, frozen=True):
    """How far this worker is behind the end of one partition: records, and the age of the oldest of them."""

    topic: str
    partition: int
    records: int
    seconds: float

    def emit(self) -> None:
        """Show it."""
        metrics.LAG_RECORDS.labels(self.topic, str(self.partition)).set(self.records)
        metrics.LAG_SECONDS.labels(self.topic, str(self.partition)).set(self.seconds)


class LagForgotten(msgspec.Struct, frozen=True):
    """A partition is no longer this worker's to report on."""

    topic: str
    partition: int

    def emit(self) -> None:
        """Drop its gauges, so that they are not read as standing still."""
        metrics.LAG_RECORDS.remove(self.topic, str(self.partition))
        metrics.LAG_SECONDS.remove(self.topic, str(self.partition))


class OutstandingMeasured(msgspec.Struct, frozen=True):
    """How much is being scored or waits for the broker's confirmation."""

    batches: int
    records: int

    def emit(self) -> None:
        """Show it."""
        metrics.OUTSTANDING_BATCHES.set(self.batches)
        metrics.OUTSTANDING_RECORDS.set(self.records)
        # This comes every second, whatever is read.
        _tell(_rejected.due())


class BrokerAnswered(msgspec.Struct, frozen=True):
    """A broker answered a question at this Unix time."""

    at: float

    def emit(self) -> None:
        """Show when."""
        metrics.BROKER_ANSWER.set(self.at)


class PartitionStalled(msgspec.Struct, frozen=True):
    """A partition stood still although it has records and the broker answers; it is fetched anew."""

    topic: str
    partition: int

    def emit(self) -> None:
        """Count and log it."""
        metrics.STALLS.inc()
        _log.warning("partition stalled", topic=self.topic, partition=self.partition)


class TopicRecreated(msgspec.Struct, frozen=True):
    """The topic was deleted and made again since it was read; these partitions begin with their first record."""

    topic: str
    partitions: int

    def emit(self) -> None:
        """Log it."""
        _log.warning("topic recreated", topic=self.topic, partitions=self.partitions)


class GroupRefused(msgspec.Struct, frozen=True):
    """The consumer group does not let the worker in, as its members share no assignor with it; the worker keeps trying.

    `reason` names the other members' clients and assignor.
    """

    group: str
    reason: str

    def emit(self) -> None:
        """Log it."""
        _log.warning("group refuses worker", group=self.group, reason=self.reason)


PauseReason = Literal["output", "commits"]


class ConsumptionPaused(msgspec.Struct, frozen=True):
    """Fetching is paused: results leave more slowly than records come (output), or offset commits fail (commits)."""

    reason: PauseReason
    partitions: int

    def emit(self) -> None:
        """Show and log it."""
        metrics.PAUSED.labels(self.reason).set(1)
        _log.warning("consumption paused", reason=self.reason, partitions=self.partitions)


class ConsumptionResumed(msgspec.Struct, frozen=True):
    """Fetching goes on."""

    reason: PauseReason
    partitions: int

    def emit(self) -> None:
        """Show and log it."""
        metrics.PAUSED.labels(self.reason).set(0)
        _log.info("consumption resumed", reason=self.reason, partitions=self.partitions)


class BrokerTroubled(msgspec.Struct, frozen=True):
    """The Kafka client reports a trouble that it is still trying to overcome by itself."""

    client: str
    code: str

    def emit(self) -> None:
        """Log it, and how often it came since it was logged last."""
        repeats = _troubles.left_out((self.client, self.code))
        if repeats is not None:
            _log.warning("broker troubled", client=self.client, code=self.code, repeats=repeats)


class WorkerDrained(msgspec.Struct, frozen=True):
    """The worker stops. `complete` says if all that it had started is confirmed and committed."""

    complete: bool

    def emit(self) -> None:
        """Log it, and whatever is to be told still."""
        _tell(_rejected.rest())
        if self.complete:
            _log.info("worker drained", complete=True)
        else:
            _log.warning("worker drained", complete=False)


class ProcessFailed(msgspec.Struct, frozen=True):
    """The process cannot go on and ends; what is not committed will be read again."""

    role: str
    error: BaseException

    def emit(self) -> None:
        """Log it, and whatever is to be told still."""
        _tell(_rejected.rest())
        _log.error("process failed", role=self.role, exc_info=self.error)


class RequestAnswered(msgspec.Struct, frozen=True):
    """The gateway answered a request."""

    route: str
    status: int
    seconds: float

    def emit(self) -> None:
        """Count it."""
        metrics.REQUESTS.labels(self.route, str(self.status)).inc()
        metrics.REQUEST_SECONDS.labels(self.route).observe(self.seconds)
        _tell(_rejected.due())


class RequestFailed(msgspec.Struct, frozen=True):
    """The gateway met an error that it does not know; the caller got a 500 without details."""

    error: BaseException

    def emit(self) -> None:
        """Log it."""
        _log.error("request failed", exc_info=self.error)


class TokenKeysUnavailable(msgspec.Struct, frozen=True):
    """The identity provider's keys cannot be read or used; those that are known stay good, tokens of others get 503."""

    error: BaseException

    def emit(self) -> None:
        """Log it."""
        _log.warning("token keys unavailable", exc_info=self.error)


class AuditRepaired(msgspec.Struct, frozen=True):
    """The audit trail's file ended in a part of a line, as after a crash; it was never answered, and was cut off."""

    removed_bytes: int

    def emit(self) -> None:
        """Log it."""
        _log.warning("audit trail repaired", removed_bytes=self.removed_bytes)


class SpanEnded(msgspec.Struct, frozen=True):
    """A span of a trace is over and waits to be sent."""

    def emit(self) -> None:
        """Count it."""
        metrics.SPANS.labels("ended").inc()


class SpansExported(msgspec.Struct, frozen=True):
    """Spans were sent to the collector or, after some attempts, given up; told where that is news."""

    spans: int
    sent: bool
    is_news: bool

    def emit(self) -> None:
        """Count them, and log it if it was not so before."""
        metrics.SPANS.labels("sent" if self.sent else "failed").inc(self.spans)
        if self.is_news and self.sent:
            _log.info("traces are sent")
        elif self.is_news:
            _log.warning("traces cannot be sent")


class ListenerOpened(msgspec.Struct, frozen=True):
    """A port takes connections."""

    purpose: str
    host: str
    port: int
    guarded: bool = False
    """Whether callers have to tell who they are."""

    def emit(self) -> None:
        """Log it, loudly where the whole network can reach an unprotected port."""
        log = _log.bind(purpose=self.purpose, host=self.host, port=self.port)
        if self.guarded or self.host in {"127.0.0.1", "::1", "localhost"}:
            log.info("listening")
        else:
            log.warning("listening beyond loopback, without authentication")
