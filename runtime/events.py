"""Everything that a process can say: one frozen class a fact, whose `emit` writes its metric and its log line.

Business code emits events and neither logs nor counts. No event holds a patient's value or id. This module is the only
importer of prometheus_client.
"""

from __future__ import annotations

from typing import Final

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest

_log: Final = structlog.get_logger("heartstream")

_RECORDS = Counter("heartstream_records", "Records that got their outcome.", ["door", "outcome"])
_FAULTS = Counter("heartstream_record_faults", "What was wrong with rejected records.", ["door", "code"])
_BATCH = Histogram(
    "heartstream_batch_records", "Records scored at once.", ["door"], buckets=[1, 4, 16, 64, 256, 1024, 4096]
)
_SECONDS = Histogram(
    "heartstream_batch_duration_seconds",
    "Time to decode, validate, score and encode a batch.",
    ["door"],
    buckets=[0.00005, 0.0002, 0.001, 0.005, 0.02, 0.1, 0.5],
)
_DELIVERY = Histogram(
    "heartstream_delivery_duration_seconds",
    "Time from handing a batch's results to the client until the broker has confirmed all of them.",
    buckets=[0.002, 0.01, 0.05, 0.2, 1, 5, 30, 120],
)
_COMMITS = Counter("heartstream_commits", "Offset commits by result.", ["result"])
_PARTITIONS = Gauge("heartstream_assigned_partitions", "Partitions that this worker reads.")
_REBALANCES = Counter("heartstream_rebalances", "Changes of the assignment.", ["kind"])
_LAG = Gauge("heartstream_consumer_lag_records", "Records behind the end of the partition.", ["topic", "partition"])
_STALLS = Counter("heartstream_partition_stalls", "Partitions that stood still and were fetched anew.")
_PROGRESS = Gauge("heartstream_last_progress_timestamp_seconds", "When a batch was last confirmed (Unix time).")
_MODEL = Gauge("heartstream_model_info", "The model that is served.", ["name", "version", "digest", "engine"])
_REQUESTS = Counter("heartstream_http_requests", "HTTP requests by route and status.", ["route", "status"])
_REQUEST_SECONDS = Histogram(
    "heartstream_http_request_duration_seconds",
    "Time to answer an HTTP request.",
    ["route"],
    buckets=[0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2],
)


def render_metrics() -> tuple[bytes, str]:
    """Return all metrics in Prometheus text format, and their content type."""
    return generate_latest(), CONTENT_TYPE_LATEST


class ProcessStarted(msgspec.Struct, frozen=True):
    """A worker or gateway has begun to start."""

    role: str
    version: str

    def emit(self) -> None:
        """Log it."""
        _log.info("process started", role=self.role, version=self.version)


class ModelLoaded(msgspec.Struct, frozen=True):
    """A model is verified, proven and in use."""

    name: str
    version: str
    digest: str
    engine: str
    fallback_reason: str | None

    def emit(self) -> None:
        """Log it, as a warning where no fast engine could be used; show it as an info metric."""
        _MODEL.clear()
        _MODEL.labels(self.name, self.version, self.digest, self.engine).set(1)
        fields = {"name": self.name, "version": self.version, "digest": self.digest, "engine": self.engine}
        if self.fallback_reason is None:
            _log.info("model loaded", **fields)
        else:
            _log.warning("model loaded without a fast engine", **fields, reason=self.fallback_reason)


class BatchScored(msgspec.Struct, frozen=True):
    """A door has the outcomes of a batch. `fault_codes` has one code a fault."""

    door: str
    scored: int
    rejected: int
    fault_codes: tuple[str, ...]
    seconds: float

    def emit(self) -> None:
        """Count records and faults. Logged only where something was rejected."""
        _RECORDS.labels(self.door, "scored").inc(self.scored)
        _BATCH.labels(self.door).observe(self.scored + self.rejected)
        _SECONDS.labels(self.door).observe(self.seconds)
        if self.rejected:
            _RECORDS.labels(self.door, "rejected").inc(self.rejected)
            for code in self.fault_codes:
                _FAULTS.labels(self.door, code).inc()
            codes = sorted(set(self.fault_codes))
            _log.warning("records rejected", door=self.door, records=self.rejected, codes=codes)


class BatchDelivered(msgspec.Struct, frozen=True):
    """The broker has confirmed every result of a batch. `at` is Unix time."""

    seconds: float
    at: float

    def emit(self) -> None:
        """Note the progress."""
        _DELIVERY.observe(self.seconds)
        _PROGRESS.set(self.at)


class TransactionAborted(msgspec.Struct, frozen=True):
    """A transaction could not be committed: nothing of it is visible, and it is done again."""

    reason: str

    def emit(self) -> None:
        """Count and log it."""
        _COMMITS.labels("aborted").inc()
        _log.warning("transaction aborted", reason=self.reason)


class OffsetsCommitted(msgspec.Struct, frozen=True):
    """The broker has stored offsets of this many partitions."""

    partitions: int

    def emit(self) -> None:
        """Count it."""
        _COMMITS.labels("stored").inc()


class OffsetCommitFailed(msgspec.Struct, frozen=True):
    """The broker did not store offsets: they are committed again, or read again by the partitions' new owner."""

    reason: str
    partitions: int

    def emit(self) -> None:
        """Count and log it."""
        _COMMITS.labels("failed").inc()
        _log.warning("offset commit failed", reason=self.reason, partitions=self.partitions)


class PartitionsAssigned(msgspec.Struct, frozen=True):
    """The group gave partitions to this worker, which now has `owned`."""

    partitions: int
    owned: int

    def emit(self) -> None:
        """Count and log it."""
        _REBALANCES.labels("assigned").inc()
        _PARTITIONS.set(self.owned)
        _log.info("partitions assigned", partitions=self.partitions, owned=self.owned)


class PartitionsRevoked(msgspec.Struct, frozen=True):
    """The group takes partitions back. `drained` says if all that was started on them is confirmed and committed."""

    partitions: int
    owned: int
    drained: bool

    def emit(self) -> None:
        """Count and log it."""
        _REBALANCES.labels("revoked").inc()
        _PARTITIONS.set(self.owned)
        _log.info("partitions revoked", partitions=self.partitions, owned=self.owned, drained=self.drained)


class PartitionsLost(msgspec.Struct, frozen=True):
    """Partitions went to others without notice: what was in flight on them will be repeated there."""

    partitions: int
    owned: int

    def emit(self) -> None:
        """Count and log it."""
        _REBALANCES.labels("lost").inc()
        _PARTITIONS.set(self.owned)
        _log.warning("partitions lost", partitions=self.partitions, owned=self.owned)


class LagMeasured(msgspec.Struct, frozen=True):
    """How far this worker is behind the end of one partition, in records."""

    topic: str
    partition: int
    records: int

    def emit(self) -> None:
        """Show it."""
        _LAG.labels(self.topic, str(self.partition)).set(self.records)


class LagForgotten(msgspec.Struct, frozen=True):
    """A partition is no longer this worker's to report on."""

    topic: str
    partition: int

    def emit(self) -> None:
        """Drop its gauge, so that it is not read as standing still."""
        _LAG.remove(self.topic, str(self.partition))


class PartitionStalled(msgspec.Struct, frozen=True):
    """A partition stood still although it has records and the broker answers; it is fetched anew."""

    topic: str
    partition: int

    def emit(self) -> None:
        """Count and log it."""
        _STALLS.inc()
        _log.warning("partition stalled", topic=self.topic, partition=self.partition)


class ConsumptionPaused(msgspec.Struct, frozen=True):
    """Fetching stands still because results leave more slowly than records come."""

    partitions: int

    def emit(self) -> None:
        """Log it."""
        _log.warning("consumption paused", partitions=self.partitions)


class ConsumptionResumed(msgspec.Struct, frozen=True):
    """Fetching goes on."""

    partitions: int

    def emit(self) -> None:
        """Log it."""
        _log.info("consumption resumed", partitions=self.partitions)


class BrokerTroubled(msgspec.Struct, frozen=True):
    """The Kafka client reports a trouble that it is still trying to overcome by itself."""

    client: str
    code: str

    def emit(self) -> None:
        """Log it."""
        _log.warning("broker troubled", client=self.client, code=self.code)


class WorkerDrained(msgspec.Struct, frozen=True):
    """The worker stops. `complete` says if all that it had started is confirmed and committed."""

    complete: bool

    def emit(self) -> None:
        """Log it."""
        level = _log.info if self.complete else _log.warning
        level("worker drained", complete=self.complete)


class ProcessFailed(msgspec.Struct, frozen=True):
    """The process cannot go on and ends; what is not committed will be read again."""

    role: str
    error: BaseException

    def emit(self) -> None:
        """Log it."""
        _log.error("process failed", role=self.role, exc_info=self.error)


class RequestAnswered(msgspec.Struct, frozen=True):
    """The gateway answered a request."""

    route: str
    status: int
    seconds: float

    def emit(self) -> None:
        """Count it."""
        _REQUESTS.labels(self.route, str(self.status)).inc()
        _REQUEST_SECONDS.labels(self.route).observe(self.seconds)


class RequestFailed(msgspec.Struct, frozen=True):
    """The gateway met an error that it does not know; the caller got a 500 without details."""

    error: BaseException

    def emit(self) -> None:
        """Log it."""
        _log.error("request failed", exc_info=self.error)


class ListenerOpened(msgspec.Struct, frozen=True):
    """A port takes connections."""

    purpose: str
    host: str
    port: int

    def emit(self) -> None:
        """Log it, loudly where the whole network can reach an unprotected port."""
        fields = {"purpose": self.purpose, "host": self.host, "port": self.port}
        if self.host in {"127.0.0.1", "::1", "localhost"}:
            _log.info("listening", **fields)
        else:
            _log.warning("listening beyond loopback, without authentication", **fields)
