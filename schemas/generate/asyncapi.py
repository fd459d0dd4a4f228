"""AsyncAPI 3.0 document of the Kafka interface: topics, messages and headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schemas import topics
from schemas.cloudevents import EVENT_ID_HEADER, EVENT_SOURCE_HEADER, SCORE_ATTRIBUTES
from schemas.generate.json_schema import patient_record, struct_schemas
from schemas.records import DeadLetter, KnownOutcome, Score
from schemas.tables.feature_table import FeatureTable

_SCHEMAS: Final = "#/components/schemas/"
_MESSAGES: Final = "#/components/messages/"
_KEY: Final = {"type": ["string", "null"], "description": "chosen by the producer; the result has the same key"}


def document(version: str, table: FeatureTable) -> dict[str, Any]:
    """Return the AsyncAPI document for records of a feature table."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "heartstream",
            "version": version,
            "description": "The worker reads patient records and produces a score or a dead letter for each. "
            "Delivery is at least once by default, optionally exactly once; see docs/design/stream-engine.md.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "patients": _channel(topics.PATIENTS, "Patient records to be scored.", "PatientRecord"),
            "scores": _channel(topics.SCORES, "One score for each record that could be scored.", "Score"),
            "shadowScores": _channel(topics.SHADOW, "Scores of the challenger, for a sample of the records.", "Score"),
            "deadLetters": _channel(
                topics.DEAD_LETTERS, "Each record that could not be scored, with its validation issues.", "DeadLetter"
            ),
            "outcomes": _channel(
                topics.OUTCOMES,
                "Outcomes of patients who were scored; read by `heartstream outcomes`.",
                "KnownOutcome",
            ),
        },
        "operations": {
            "takeRecord": _operation("receive", "patients", "PatientRecord"),
            "writeScore": _operation("send", "scores", "Score"),
            "writeShadowScore": _operation("send", "shadowScores", "Score"),
            "writeDeadLetter": _operation("send", "deadLetters", "DeadLetter"),
            "takeOutcome": _operation("receive", "outcomes", "KnownOutcome"),
        },
        "components": {"messages": _messages(), "schemas": _schemas(table)},
    }


def _channel(topic: str, description: str, message: str) -> dict[str, Any]:
    return {
        "address": topic,
        "description": description,
        "messages": {message: {"$ref": _MESSAGES + message}},
        "bindings": {"kafka": {"topic": topic}},
    }


def _operation(action: str, channel: str, message: str) -> dict[str, Any]:
    place = f"#/channels/{channel}"
    return {
        "action": action,
        "channel": {"$ref": place},
        "messages": [{"$ref": f"{place}/messages/{message}"}],
    }


def _messages() -> dict[str, Any]:
    """Return the messages of the topics. A dead letter's value is the original value, whatever that is."""
    key = {"kafka": {"key": _KEY}}
    traced = {name: {"type": "string"} for name in (topics.TRACEPARENT_HEADER, topics.TRACESTATE_HEADER)}
    may_be_traced = {"type": "object", "properties": traced}
    attributes = {
        **{name: {"type": "string", "const": text} for name, text in SCORE_ATTRIBUTES.items()},
        **{name: {"type": "string"} for name in (EVENT_ID_HEADER, EVENT_SOURCE_HEADER)},
    }
    may_be_event = {"type": "object", "properties": {**attributes, **traced}}
    return {
        "PatientRecord": {"payload": {"$ref": _SCHEMAS + "PatientRecord"}, "headers": may_be_traced, "bindings": key},
        "Score": {"payload": {"$ref": _SCHEMAS + "Score"}, "headers": may_be_event, "bindings": key},
        "KnownOutcome": {"payload": {"$ref": _SCHEMAS + "KnownOutcome"}, "bindings": key},
        "DeadLetter": {
            "contentType": "application/octet-stream",
            "summary": "The original value; the reason is in a header.",
            "headers": _dead_letter_headers(traced),
            "payload": {"description": "the value of the rejected record"},
            "bindings": key,
        },
    }


def _dead_letter_headers(traced: Mapping[str, Any]) -> dict[str, Any]:
    number = {"type": "string", "pattern": "^[0-9]+$"}
    return {
        "type": "object",
        "required": [topics.DEAD_LETTER_HEADER],
        "properties": {
            topics.DEAD_LETTER_HEADER: {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"$ref": _SCHEMAS + "DeadLetter"},
            },
            **{f"{topics.ERROR_HEADER_PREFIX}{name}": {"type": "string"} for name in ("exception", "message", "topic")},
            **{f"{topics.ERROR_HEADER_PREFIX}{name}": number for name in ("partition", "offset")},
            # -1: the record has no timestamp.
            topics.TIMESTAMP_HEADER: {"type": "string", "pattern": "^(-1|[0-9]+)$"},
            topics.VALUE_OMITTED_HEADER: number,
            # Empty: the record has no key.
            topics.KEY_OMITTED_HEADER: {"type": "string", "pattern": "^[0-9]*$"},
            topics.HEADERS_OMITTED_HEADER: number,
            **traced,
        },
    }


def _schemas(table: FeatureTable) -> dict[str, Any]:
    structs = struct_schemas([Score, DeadLetter, KnownOutcome], _SCHEMAS + "{name}")
    return {"PatientRecord": patient_record(table), **structs}
