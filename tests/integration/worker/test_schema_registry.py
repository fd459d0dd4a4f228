"""Schema registry frames with a real registry, broker and worker, and Confluent's own serializers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from heartstream.demo.patients import real_patients
from runtime.settings import SchemaRegistry as RegistrySettings
from schemas.errors import DependencyError
from schemas.generate.documents import FOLDER
from schemas.wire_format import schema_id, schema_prefix
from scoring.scorer import Scorer
from tests.support.avro import SCHEMA
from tests.support.outcomes import Scored, process
from tests.support.schema_registry import running_registry
from tests.support.stream import Stream
from tests.support.verify_harness import VerifyHarness
from tests.support.workers import Workers
from worker.schema_registry import SchemaRegistry

PATIENTS: list[dict[str, Any]] = real_patients()[:200]
PROTOBUF = 'syntax = "proto3"; message Patient { string patient_id = 1; }'


@pytest.fixture(scope="module")
def registry() -> Iterator[str]:
    with running_registry() as url:
        yield url


@pytest.fixture(scope="module")
def client(registry: str) -> Iterator[SchemaRegistryClient]:
    with SchemaRegistryClient({"url": registry}) as client:
        yield client


def send_all(stream: Stream, client: SchemaRegistryClient) -> None:
    """Send patients in turn as plain JSON, as framed JSON and as framed Avro."""
    place = SerializationContext(stream.topics.patients, MessageField.VALUE)
    schema = (FOLDER / "patient-record.schema.json").read_text("utf-8")
    as_json = JSONSerializer(schema, client)
    # Two schemas of one topic are no versions of each other: a subject a record type.
    named = {"subject.name.strategy": lambda _, name: f"{name}-{stream.topics.patients}"}
    as_avro = AvroSerializer(client, json.dumps(SCHEMA), conf=named)
    for number, patient in enumerate(PATIENTS):
        values = [json.dumps(patient).encode(), as_json(patient, place), as_avro(patient, place)]
        stream.send(values[number % 3], b"%d" % number)


def send_broken(stream: Stream, client: SchemaRegistryClient) -> list[tuple[bytes, str]]:
    """Send values that cannot be decoded; return them with the messages of their issues."""
    avro = client.register_schema("broken-avro", Schema(json.dumps(SCHEMA), "AVRO"))
    protobuf = client.register_schema("broken-protobuf", Schema(PROTOBUF, "PROTOBUF"))
    broken = [
        (schema_prefix(avro) + b"Zebra", "does not match the Avro schema of its frame"),
        (schema_prefix(protobuf) + b"\0", "is framed with a schema that is neither JSON Schema nor Avro"),
        (schema_prefix(2**31 - 1) + b"{}", "is framed with a schema ID that the schema registry does not have"),
    ]
    for value, _ in broken:
        stream.send(value, b"broken")
    return broken


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_confluents_serializers_interoperate_with_the_worker(
    stream: Stream, workers: Workers, scorer: Scorer, registry: str, client: SchemaRegistryClient, guarantee: str
) -> None:
    """JSON and Avro are scored by their payload; scores are framed with their own schema's ID.

    Undecodable values are dead-lettered with their frame. Each score can be verified, and its digest is that of
    the sent bytes.
    """
    send_all(stream, client)
    broken = send_broken(stream, client)
    workers.settings.update(
        HEARTSTREAM_SCHEMA_REGISTRY__URL=registry,
        HEARTSTREAM_SCHEMA_REGISTRY__ENCODE_SCORES="true",
        HEARTSTREAM_SCORE__INPUT_DIGEST="true",
    )
    with workers.start(stream.address, HEARTSTREAM_WORKER__PROCESSING_GUARANTEE=guarantee) as worker:
        worker.await_ready()
        stream.read_all()
    assert stream.repeated() == 0
    results = [(sent, stream.only(sent)) for sent in stream.sent]
    letters = [(result.value, result.letter.errors) for _, result in results if result.letter]
    assert sorted((value, *[issue.message for issue in issues]) for value, issues in letters) == sorted(broken)
    assert {str(issue.code) for _, issues in letters for issue in issues} == {"malformed_frame"}
    read = JSONDeserializer(None, schema_registry_client=client)
    place = SerializationContext(stream.topics.scores, MessageField.VALUE)
    scores = [(sent, result) for sent, result in results if not result.letter]
    assert len(scores) == len(PATIENTS)
    number = client.get_latest_version(f"{stream.topics.scores}-value").schema_id
    for sent, result in scores:
        (expected,) = process([json.dumps(PATIENTS[int(sent.key or b"")]).encode()], [sent.source], scorer)
        assert isinstance(expected, Scored)
        digest = hashlib.sha256(sent.value or b"").hexdigest()[:16]
        assert schema_id(result.value or b"") == number
        assert read(result.value or b"", place) == {**json.loads(expected.value), "input_digest": digest}
    assert VerifyHarness(stream, workers).verify() == (0, [], {"verified": len(PATIENTS)})


def test_a_schema_is_registered_once(registry: str, client: SchemaRegistryClient) -> None:
    """A registered schema is not registered again, and an unknown ID yields no schema."""
    asked = SchemaRegistry(RegistrySettings(url=f"{registry}/"))
    schema = (FOLDER / "score.schema.json").read_text("utf-8")
    first = asked.number("some scores/value", schema)
    assert [asked.number("some scores/value", schema), client.get_latest_version("some scores/value").schema_id] == [
        first,
        first,
    ]
    found = asked.schema(first)
    assert found is not None
    assert (found.schema_type, json.loads(found.schema)) == ("JSON", json.loads(schema))
    assert asked.schema(2**31 - 1) is None


def test_an_unreachable_registry_is_a_dependency_error(registry: str) -> None:
    """So is a server that is not a registry; no message contains the credentials."""
    for url in ("http://127.0.0.1:1", registry.removesuffix("/apis/ccompat/v7")):
        away = SchemaRegistry(RegistrySettings(url=url, username="Zebra", password="Zebra-4711"))
        with pytest.raises(DependencyError) as raised:
            away.number("scores-value", "{}")
        assert "Zebra" not in str(raised.value)
