"""Settings: a value built once from environment variables; all problems are reported together.

A field's name is `HEARTSTREAM_<GROUP>__<FIELD>`. With the suffix `_FILE`, the value is read from the named file; use it
for secrets. `HEARTSTREAM_KAFKA__OPTIONS__<NAME>` sets any option of the Kafka client: `SASL_USERNAME` becomes
`sasl.username`.
"""

from __future__ import annotations

from runtime.settings.base import PREFIX
from runtime.settings.description import describe
from runtime.settings.environment import Settings
from runtime.settings.gateway import Audit, Auth, CdsHooks, Fhir, Gateway, Smart
from runtime.settings.kafka import EmbeddedKafka, Kafka, SchemaRegistry, Topics
from runtime.settings.model import Challenger, Drift, Model, Score
from runtime.settings.telemetry import Telemetry, Tracing
from runtime.settings.worker import Worker

__all__ = [
    "PREFIX",
    "Audit",
    "Auth",
    "CdsHooks",
    "Challenger",
    "Drift",
    "EmbeddedKafka",
    "Fhir",
    "Gateway",
    "Kafka",
    "Model",
    "SchemaRegistry",
    "Score",
    "Settings",
    "Smart",
    "Telemetry",
    "Topics",
    "Tracing",
    "Worker",
    "describe",
]
