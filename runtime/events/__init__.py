"""Events of all processes: one frozen class per event, whose `emit` updates its metrics and writes its log line.

Business code emits events and neither logs nor counts. No event contains a patient's value or id. An event is defined
in the module of its component; callers import all of them from here. docs/telemetry.md is generated from these modules
and `runtime.metrics`.
"""

from __future__ import annotations

from runtime.events.consumer import (
    BrokerAnswered,
    ConsumerReplaced,
    ConsumptionPaused,
    ConsumptionResumed,
    GroupRefused,
    InFlightMeasured,
    KafkaClientError,
    LagForgotten,
    LagMeasured,
    PartitionsAssigned,
    PartitionsLost,
    PartitionsRevoked,
    PartitionStalled,
    PauseReason,
    TopicRecreated,
)
from runtime.events.delivery import (
    BatchDelivered,
    BatchesLimited,
    FlushConfirmed,
    OffsetCommitFailed,
    OffsetsCommitted,
    OffsetsSent,
    ProducerReplaced,
    ScoreRefused,
    TransactionAborted,
    TransactionBegun,
    TransactionCallSlow,
    TransactionSettled,
)
from runtime.events.gateway import (
    AuditRepaired,
    RequestAnswered,
    RequestFailed,
    TokenKeysUnavailable,
)
from runtime.events.model import (
    CanaryLoaded,
    CanaryRefused,
    CanaryScored,
    CanaryWithdrawn,
    DriftMeasured,
    ModelLoaded,
    ModelRefusalEnded,
    ModelRefused,
    ModelsCompared,
    ModelSwapped,
    ModelWithdrawn,
    OutcomesEvaluated,
)
from runtime.events.process import (
    ListenerOpened,
    ProcessFailed,
    ProcessStarted,
    WorkerDrained,
    is_debugging,
    render_metrics,
)
from runtime.events.records import (
    BatchScored,
    RecordsRejected,
)
from runtime.events.tracing import (
    SpanEnded,
    SpansExported,
)

__all__ = [
    "AuditRepaired",
    "BatchDelivered",
    "BatchScored",
    "BatchesLimited",
    "BrokerAnswered",
    "CanaryLoaded",
    "CanaryRefused",
    "CanaryScored",
    "CanaryWithdrawn",
    "ConsumerReplaced",
    "ConsumptionPaused",
    "ConsumptionResumed",
    "DriftMeasured",
    "FlushConfirmed",
    "GroupRefused",
    "InFlightMeasured",
    "KafkaClientError",
    "LagForgotten",
    "LagMeasured",
    "ListenerOpened",
    "ModelLoaded",
    "ModelRefusalEnded",
    "ModelRefused",
    "ModelSwapped",
    "ModelWithdrawn",
    "ModelsCompared",
    "OffsetCommitFailed",
    "OffsetsCommitted",
    "OffsetsSent",
    "OutcomesEvaluated",
    "PartitionStalled",
    "PartitionsAssigned",
    "PartitionsLost",
    "PartitionsRevoked",
    "PauseReason",
    "ProcessFailed",
    "ProcessStarted",
    "ProducerReplaced",
    "RecordsRejected",
    "RequestAnswered",
    "RequestFailed",
    "ScoreRefused",
    "SpanEnded",
    "SpansExported",
    "TokenKeysUnavailable",
    "TopicRecreated",
    "TransactionAborted",
    "TransactionBegun",
    "TransactionCallSlow",
    "TransactionSettled",
    "WorkerDrained",
    "is_debugging",
    "render_metrics",
]
