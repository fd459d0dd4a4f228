"""Settings of the Kafka connection, the topics and the schema registry."""

from __future__ import annotations

import msgspec

from runtime.settings.base import Name
from schemas import topics


class Kafka(msgspec.Struct, frozen=True):
    """Kafka connection. `options` are passed to librdkafka unchanged."""

    bootstrap_servers: Name = "localhost:9092"
    options: dict[str, str] = {}


class Topics(msgspec.Struct, frozen=True):
    """Topics to read and write. Each is the name of a single Kafka topic, and no two may be the same."""

    patients: Name = topics.PATIENTS
    scores: Name = topics.SCORES
    dead_letters: Name = topics.DEAD_LETTERS
    outcomes: Name = topics.OUTCOMES
    shadow: Name = topics.SHADOW


class SchemaRegistry(msgspec.Struct, frozen=True):
    """A Confluent-compatible schema registry, for records and scores in its wire format: docs/formats.md.

    Avro records need `url`, such as `http://registry:8081`, and the extra `avro`; JSON records need neither. With
    `encode_scores`, scores are written with the ID of their JSON Schema, which is registered at start if needed.
    `username` and `password` are for basic authentication: keep the password in a file, named by
    `HEARTSTREAM_SCHEMA_REGISTRY__PASSWORD_FILE`.
    """

    url: str = ""
    username: str = ""
    password: str = ""
    encode_scores: bool = False


class EmbeddedKafka(msgspec.Struct, frozen=True):
    """The Apache Kafka that `heartstream demo` and the tests start without a broker: docs/embedded-kafka.md.

    Its jars are downloaded from `maven_repository`, such as `https://maven.example.com/central`; if empty, from the
    mirror of Maven Central in the user's Maven settings (`~/.m2/settings.xml`), or from Maven Central.
    """

    maven_repository: str = ""
