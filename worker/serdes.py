"""Deserializes records and serializes scores: CloudEvents, and the wire format of a schema registry."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Self

from confluent_kafka import Message

from runtime.kafka.messages import headers_of
from runtime.settings import Settings
from schemas.cloudevents import Content, ScoreEvents, unwrap
from schemas.envelopes import is_utf_16
from schemas.errors import RejectionCode, SettingsError, ValidationIssue
from schemas.generate import json_schema
from schemas.records import RECORD_MAX_BYTES, Source
from schemas.wire_format import MAGIC_BYTE, PREFIX_BYTES, schema_id, schema_prefix
from scoring.batches import JsonBatch
from worker.avro import UnusableSchemaError, reader
from worker.kafka.outgoing_record import Headers
from worker.schema_registry import SchemaRegistry
from worker.scored_batch import EventHeaders

_Read = Callable[[bytes], Content]
_UNKNOWN_SECONDS: Final = 30.0
"""How long an unknown schema ID is not looked up again; it may be registered later."""
_MOST_UNKNOWN: Final = 1_000


class Serdes:
    """Unwraps the envelopes and wire formats of records, and adds those of scores. Not thread-safe."""

    def __init__(
        self, registry: SchemaRegistry | None = None, score_events: ScoreEvents | None = None, score_frame: bytes = b""
    ) -> None:
        """Without a registry, framed values are read as JSON."""
        self._registry = registry
        self._score_events = score_events
        self._score_frame = score_frame
        self._reads: dict[int, _Read] = {}
        self._unknown: dict[int, float] = {}
        """Schema IDs that the registry did not have, and when to look them up again."""

    @classmethod
    def of(cls, settings: Settings, scores: str) -> Self:
        """Return the serdes of a process that publishes to the topic `scores`; looks up the score schema's ID.

        Raises SettingsError and DependencyError.
        """
        registry, events = _registry_of(settings), settings.worker.cloudevents
        if not settings.schema_registry.encode_scores:
            return cls(registry, ScoreEvents(scores) if events else None)
        if registry is None or events:
            problem = (
                "needs HEARTSTREAM_SCHEMA_REGISTRY__URL" if registry is None else "cannot be combined with CloudEvents"
            )
            raise SettingsError((f"HEARTSTREAM_SCHEMA_REGISTRY__ENCODE_SCORES {problem}",))
        schema = json.dumps(json_schema.score())
        return cls(registry, None, schema_prefix(registry.number(f"{scores}-value", schema)))

    @classmethod
    def reading(cls, settings: Settings) -> Self:
        """Return the serdes of a process that only reads. Raises SettingsError."""
        return cls(_registry_of(settings))

    def content_of(self, message: Message) -> Content:
        """Return the JSON content of a record of the patients topic.

        Blocks when it meets a new schema: see `worker.schema_registry`. Raises DependencyError.
        """
        content = unwrap(message.value(), headers_of(message))
        if not isinstance(content, bytes) or len(content) > RECORD_MAX_BYTES or is_utf_16(content):
            return content
        number = schema_id(content)
        return content if number is None else self._read(number)(content[PREFIX_BYTES:])

    def batch(
        self, messages: Sequence[Message], sources: Sequence[Source], keys: Sequence[bytes | None] = ()
    ) -> JsonBatch:
        """Return messages of the patients topic as a batch; `sources` are their topics, partitions and offsets."""
        values = [message.value() for message in messages]
        return JsonBatch(values, None, sources, keys, lambda index: self.content_of(messages[index]))

    async def prepare(self, values: Iterable[bytes | None]) -> None:
        """Look up the new schema IDs of these values in a thread.

        Raises DependencyError.
        """
        if self._registry is None:
            return
        named = {schema_id(value) for value in values if value is not None and value[:1] == MAGIC_BYTE}
        for number in named:
            if number is not None and number not in self._reads:
                await asyncio.to_thread(self._read, number)

    def framed(self, scores: list[bytes]) -> list[bytes]:
        """Return scores in their wire format."""
        return [self._score_frame + score for score in scores] if self._score_frame else scores

    def headers(self, sources: Sequence[Source], traces: Mapping[int, Headers]) -> Mapping[int, Headers]:
        """Return the headers of the scores of these sources, by index; `traces` has those of the traced ones."""
        return traces if self._score_events is None else EventHeaders(self._score_events, sources, traces)

    def _read(self, number: int) -> _Read:
        read = self._reads.get(number)
        if read is None:
            if self._registry is None:
                return _json
            if self._unknown.get(number, 0.0) > time.monotonic():
                return _UNKNOWN
            registered = self._registry.schema(number)
            if registered is None:
                if len(self._unknown) >= _MOST_UNKNOWN:
                    self._unknown.clear()
                self._unknown[number] = time.monotonic() + _UNKNOWN_SECONDS
                return _UNKNOWN
            read = self._reads[number] = _reader_of(registered.schema_type, registered.schema)
        return read


PLAIN: Final = Serdes()


def _registry_of(settings: Settings) -> SchemaRegistry | None:
    return SchemaRegistry(settings.schema_registry) if settings.schema_registry.url else None


def _reader_of(schema_type: str, schema: str) -> _Read:
    if schema_type == "JSON":
        return lambda value: value
    if schema_type != "AVRO":
        return _rejecting("is framed with a schema that is neither JSON Schema nor Avro")
    try:
        read = reader(schema)
    except UnusableSchemaError as error:
        return _rejecting(str(error))
    malformed = _malformed("does not match the Avro schema of its frame")

    def avro(value: bytes) -> Content:
        found = read(value)
        return malformed if found is None else found

    return avro


def _json(value: bytes) -> Content:
    if value.lstrip()[:1] == b"{":
        return value
    return _malformed("is framed for a schema registry and is not JSON; for Avro set HEARTSTREAM_SCHEMA_REGISTRY__URL")


def _rejecting(message: str) -> _Read:
    issues = _malformed(message)
    return lambda _: issues


def _malformed(message: str) -> tuple[ValidationIssue, ...]:
    return (ValidationIssue(RejectionCode.MALFORMED_FRAME, "", message),)


_UNKNOWN: Final = _rejecting("is framed with a schema ID that the schema registry does not have")
