"""A worker with exactly the ACLs of the manifests, on a broker that denies everything else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # exported, says its guide
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from runtime.settings import Topics
from tests.k8s.manifests import builder, of_kind
from tests.support.brokers import Listener, own_kafka
from tests.support.examples import accepted
from tests.support.stream import Stream
from tests.support.workers import GUARANTEE, Workers, reason_of_end, send_patients

pytestmark = pytest.mark.skipif(builder() is None, reason="needs kubectl or kustomize")
_PASSWORD = "a password of tests"  # noqa: S105  # opens nothing
_WAIT_SECONDS = 60.0
_LISTENER = "GUARDED"
_OPERATIONS = {"DescribeConfigs": "DESCRIBE_CONFIGS"}
"""What is not called in Kafka's client as it is in a KafkaUser, but for its capitals."""


class Guarded:
    """A broker whose listener `open_address` is for tests only; the other one authenticates users and applies ACLs."""

    def __init__(self, open_address: str, guarded_address: str) -> None:
        self.open_address, self.guarded_address = open_address, guarded_address
        admin = AdminClient({"bootstrap.servers": open_address})
        for user in of_kind("production", "KafkaUser"):
            name = user["metadata"]["name"]
            mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
            changes = admin.alter_user_scram_credentials(
                [UserScramCredentialUpsertion(name, mechanism, _PASSWORD.encode())]
            )
            changes[name].result(_WAIT_SECONDS)
            rules = [rule for acl in user["spec"]["authorization"]["acls"] for rule in _bindings(name, acl)]
            for change in admin.create_acls(rules).values():
                change.result(_WAIT_SECONDS)

    def as_user(self, name: str) -> dict[str, str]:
        """Return the client options of a user."""
        return {
            "bootstrap.servers": self.guarded_address,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": name,
            "sasl.password": _PASSWORD,
        }


def _bindings(user: str, acl: dict[str, object]) -> Iterator[AclBinding]:
    resource = acl["resource"]
    kind = {"topic": "TOPIC", "group": "GROUP", "transactionalId": "TRANSACTIONAL_ID"}[resource["type"]]
    pattern = {"literal": ResourcePatternType.LITERAL, "prefix": ResourcePatternType.PREFIXED}[resource["patternType"]]
    for operation in acl["operations"]:
        yield AclBinding(
            ResourceType[kind],
            resource["name"],
            pattern,
            f"User:{user}",
            "*",
            AclOperation[_OPERATIONS.get(operation, operation.upper())],
            AclPermissionType.ALLOW,
        )


@contextmanager
def running_guarded() -> Iterator[Guarded]:
    """Run such a broker while the context lasts."""
    guarded = f"localhost:{(port := free_port())}"
    properties = {
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        f"listener.name.{_LISTENER.lower()}.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "auto.create.topics.enable": "false",
    }
    with own_kafka(listeners=[Listener(_LISTENER, port, guarded, "SASL_PLAINTEXT")], properties=properties) as server:
        yield Guarded(server.address, guarded)


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    with running_guarded() as broker:
        yield broker


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_the_acls_of_a_worker_are_sufficient(guarded: Guarded, model_dir: Path, tmp_path: Path, guarantee: str) -> None:
    """With its user's ACLs of the production overlay a worker scores and dead-letters under either guarantee."""
    workers = Workers(model_dir, Topics(), tmp_path)
    options = {
        f"HEARTSTREAM_KAFKA__OPTIONS__{name.upper().replace('.', '_')}": value
        for name, value in guarded.as_user("heartstream-worker").items()
        if name != "bootstrap.servers"
    }
    settings = {
        "HEARTSTREAM_WORKER__GROUP_ID": "heartstream",
        "HEARTSTREAM_WORKER__PROCESSING_GUARANTEE": guarantee,
        "HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO": "1",
    }
    with (
        Stream.open(guarded.open_address, Topics()) as stream,
        workers.start(guarded.guarded_address, **options, **settings) as worker,
    ):
        for record in [*(value for _, value in accepted()), b"not JSON"]:
            stream.send(record)
        stream.flush()
        # What an earlier worker wrote is on the topics too.
        stream.read_until(lambda: all(sent.source in stream.results for sent in stream.sent))
        stream.read_to_end()
        assert [result.letter is not None for sent in stream.sent for result in stream.results[sent.source]].count(
            True
        ) == 1
        assert worker.process.poll() is None


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_missing_scores_topic_stops_the_worker(
    guarded: Guarded, model_dir: Path, tmp_path: Path, topics: Topics, guarantee: str
) -> None:
    """The reason is the missing topic, whatever else fails during shutdown."""
    workers = Workers(model_dir, topics, tmp_path)
    missing = {"HEARTSTREAM_TOPICS__SCORES": "no-such-topic", GUARANTEE: guarantee}
    with Stream.open(guarded.open_address, topics) as stream:
        send_patients(stream, 0, 100)
        quick = {"HEARTSTREAM_KAFKA__OPTIONS__TOPIC_METADATA_PROPAGATION_MAX_MS": "1000"}
        reason = reason_of_end(workers, guarded.open_address, **missing, **quick)
    assert "no-such-topic" in reason


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_a_scores_topic_without_write_access_stops_the_worker(
    guarded: Guarded, model_dir: Path, tmp_path: Path, guarantee: str
) -> None:
    """The reason names the missing permission and the topic."""
    workers = Workers(model_dir, Topics(), tmp_path)
    options = {
        f"HEARTSTREAM_KAFKA__OPTIONS__{name.upper().replace('.', '_')}": value
        for name, value in guarded.as_user("heartstream-worker").items()
        if name != "bootstrap.servers"
    }
    own = {"HEARTSTREAM_WORKER__GROUP_ID": "heartstream", "HEARTSTREAM_TOPICS__SCORES": "audit", GUARANTEE: guarantee}
    with Stream.open(guarded.open_address, Topics()) as stream:
        create_topics(guarded.open_address, ["audit"], 1, {})
        send_patients(stream, 0, 100)
        reason = reason_of_end(workers, guarded.guarded_address, **own, **options)
    assert "TOPIC_AUTHORIZATION_FAILED" in reason
    assert "audit" in reason


def test_outcomes_needs_read_access_to_two_topics_only(guarded: Guarded) -> None:
    """`heartstream outcomes` joins no consumer group, and its user may use none."""
    options = {
        f"HEARTSTREAM_KAFKA__OPTIONS__{name.upper().replace('.', '_')}": value
        for name, value in guarded.as_user("heartstream-outcomes").items()
        if name != "bootstrap.servers"
    }
    create_topics(guarded.open_address, [Topics().scores, Topics().outcomes], 1, {})
    producer = Producer({"bootstrap.servers": guarded.open_address})
    model = {"name": "m", "version": "1", "digest": "a"}
    producer.produce(Topics().scores, json.dumps({"patient_id": "p", "risk": 0.5, "model": model}))
    producer.flush(_WAIT_SECONDS)
    producer.produce(Topics().outcomes, json.dumps({"patient_id": "p", "outcome": 1}))
    producer.flush(_WAIT_SECONDS)
    done = subprocess.run(
        [sys.executable, "-m", "heartstream", "outcomes", "--json"],
        env={**os.environ, **options, "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": guarded.guarded_address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (of_model,) = [each for each in json.loads(done.stdout)["models"] if each["model"] == model]
    assert of_model["all"]["events"] == 1


@pytest.mark.parametrize(
    ("user", "topic", "is_allowed"),
    [
        ("heartstream-worker", "scores", True),
        ("heartstream-worker", "patients", False),
        ("heartstream-worker", "audit", False),
        ("heartstream-gateway", "audit", True),
        ("heartstream-gateway", "scores", False),
        ("heartstream-lag", "scores", False),
        ("heartstream-outcomes", "outcomes", False),
        ("heartstream-shadow", "scores.shadow", True),
        ("heartstream-shadow", "scores", False),
    ],
)
def test_users_can_write_only_where_their_acls_allow(guarded: Guarded, user: str, topic: str, is_allowed: bool) -> None:  # noqa: FBT001
    """Writes to any other topic are denied."""
    create_topics(guarded.open_address, [Topics().shadow], 1, {})
    with Stream.open(guarded.open_address, Topics(dead_letters="audit")):
        ends: list[KafkaError | None] = []
        producer = Producer({**guarded.as_user(user), "log_level": 0})
        producer.produce(topic, b"{}", on_delivery=lambda error, _: ends.append(error))
        assert producer.flush(_WAIT_SECONDS) == 0
    assert [error is None for error in ends] == [is_allowed]


def test_keda_can_compute_the_lag(guarded: Guarded) -> None:
    """Its user can read the end offsets of the patients topic and the group's offsets, and nothing else."""
    with Stream.open(guarded.open_address, Topics()):
        admin = AdminClient({**guarded.as_user("heartstream-lag"), "log_level": 0})
        (end,) = admin.list_offsets({TopicPartition("patients", 0): OffsetSpec.latest()}).values()
        assert end.result(_WAIT_SECONDS).offset >= 0
        for group, is_allowed in (("heartstream", True), ("another", False)):
            (asked,) = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
            error = asked.exception(_WAIT_SECONDS)
            assert (error is None) is is_allowed
            assert error is None or isinstance(error, KafkaException)
