"""Deserialization of records without a schema registry, and the Avro decoder."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import pytest
from confluent_kafka import Message
from hypothesis import given
from hypothesis import strategies as st

from runtime.settings import SchemaRegistry, Settings, Worker
from schemas.errors import SettingsError, ValidationIssue
from schemas.records import RECORD_MAX_BYTES
from schemas.wire_format import schema_prefix
from tests.support.avro import FIELDS, SCHEMA
from tests.support.examples import accepted
from worker.avro import UnusableSchemaError, reader
from worker.serdes import PLAIN, Serdes

RECORD = dict(accepted())["complete"]
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53)


def message(value: bytes | None, headers: list[tuple[str, bytes]] | None = None) -> Message:
    return Message(topic="patients", partition=0, offset=0, value=value, headers=headers)


def written(record: dict[str, Any], schema: dict[str, Any] = SCHEMA) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), record)
    return out.getvalue()


def test_framed_json_needs_no_registry() -> None:
    """The frame's payload is the record, whatever the schema ID; a CloudEvent's data likewise."""
    assert PLAIN.content_of(message(schema_prefix(7) + RECORD)) == RECORD
    assert PLAIN.content_of(message(schema_prefix(7) + b" " + RECORD, [("ce_id", b"1")])) == b" " + RECORD


def test_a_value_without_a_frame_is_returned_unchanged() -> None:
    """So are tombstones, oversized values and values that are too short for a frame."""
    for value in (None, b"", RECORD, b"\0\0\0\0", schema_prefix(7) + b" " * RECORD_MAX_BYTES):
        assert PLAIN.content_of(message(value)) == value


def test_a_framed_value_that_is_not_json_is_reported_as_needing_a_registry() -> None:
    """The issue's message names the setting of the schema registry's URL."""
    content = PLAIN.content_of(message(schema_prefix(7) + written(json.loads(RECORD))))
    assert isinstance(content, tuple)
    assert [(str(issue.code), issue.pointer) for issue in content] == [("malformed_frame", "")]
    assert "HEARTSTREAM_SCHEMA_REGISTRY__URL" in content[0].message


@given(st.fixed_dictionaries({"patient_id": st.text(), **{field["name"]: NUMBERS for field in FIELDS}}))
def test_avro_is_decoded_to_the_equivalent_json(record: dict[str, Any]) -> None:
    """Numbers, nulls and ids are decoded without loss."""
    made = reader(json.dumps(SCHEMA))(written(record))
    assert made is not None
    assert json.loads(made) == record


def test_nan_in_avro_does_not_become_null() -> None:
    """It would pass for a missing test; as NaN it is rejected by validation."""
    made = reader(json.dumps(SCHEMA))(written({**json.loads(RECORD), "oldpeak": float("nan")}))
    assert made is not None
    assert b"NaN" in made


@given(st.binary(max_size=80))
def test_bytes_that_do_not_match_the_schema_decode_to_none(value: bytes) -> None:
    """Decoding never raises, and trailing bytes after a record make it invalid."""
    read = reader(json.dumps(SCHEMA))
    made = read(value)
    assert made is None or written(json.loads(made)) is not None
    assert read(written(json.loads(RECORD)) + b"\0") is None


@pytest.mark.parametrize(
    "schema",
    [
        "no schema",
        '"Elsewhere"',
        json.dumps({**SCHEMA, "fields": [{"name": "x", "type": {"type": "array", "items": "null"}}]}),
        json.dumps({**SCHEMA, "fields": [{"name": "x", "type": ["null", {"type": "map", "values": "null"}]}]}),
    ],
)
def test_an_unusable_schema_is_refused(schema: str) -> None:
    """Invalid schemas, references to other schemas and recursive schemas are refused."""
    with pytest.raises(UnusableSchemaError):
        reader(schema)


@pytest.mark.parametrize(
    ("registry", "events", "named"),
    [
        (SchemaRegistry(encode_scores=True), False, "HEARTSTREAM_SCHEMA_REGISTRY__ENCODE_SCORES needs"),
        (SchemaRegistry(url="http://localhost:1", encode_scores=True), True, "CloudEvents"),
        (SchemaRegistry(url="file:///etc"), False, "HEARTSTREAM_SCHEMA_REGISTRY__URL"),
    ],
)
def test_contradictory_settings_are_refused(registry: SchemaRegistry, events: bool, named: str) -> None:  # noqa: FBT001  # a parameter of the test
    """The refusal comes before any request to the registry."""
    with pytest.raises(SettingsError, match=named):
        Serdes.of(Settings(worker=Worker(cloudevents=events), schema_registry=registry), "scores")


def test_undecodable_values_yield_faults_without_record_content() -> None:
    """Issues are values, so the rest of the batch is scored, and no message contains the record's bytes."""
    content = PLAIN.content_of(message(schema_prefix(0) + b"Zebra"))
    assert isinstance(content, tuple)
    assert all(isinstance(issue, ValidationIssue) and "Zebra" not in issue.message for issue in content)
