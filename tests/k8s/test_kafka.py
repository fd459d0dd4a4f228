"""Static checks of Kafka's users, rights and topics in the Kubernetes manifests."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.settings import Settings
from schemas import topics
from tests.k8s.manifests import OVERLAYS, builder, environment, of_kind, own_templates, permanent_components
from worker.shadow import GROUP_SUFFIX

pytestmark = [
    pytest.mark.skipif(builder() is None, reason="needs kubectl or kustomize"),
    pytest.mark.parametrize("overlay", OVERLAYS),
]


def test_each_component_has_its_own_kafka_user(overlay: str, tmp_path: Path) -> None:
    """In overlays with authentication, each component has its own user and that user's password."""
    if overlay.startswith("local"):
        assert of_kind(overlay, "KafkaUser") == []
        return
    users = {x["metadata"]["name"] for x in of_kind(overlay, "KafkaUser")}
    for component in permanent_components(overlay):
        template = own_templates(overlay)[component]
        options = Settings.from_mapping(environment(overlay, template, tmp_path)).kafka.options
        secrets = {x["name"]: x["secret"]["secretName"] for x in template["spec"]["volumes"] if "secret" in x}
        assert options["sasl.username"] == secrets["kafka-password"] == f"heartstream-{component}"
        assert options["sasl.username"] in users
        assert options["sasl.password"]
        mounts = {mount["name"]: mount["mountPath"] for mount in template["spec"]["containers"][0]["volumeMounts"]}
        assert options["ssl.ca.location"] == f"{mounts['kafka-ca']}/ca.crt"
        assert secrets["kafka-ca"] == "heartstream-cluster-ca-cert"


def test_kafka_users_have_minimal_acls(overlay: str) -> None:
    """A challenger reads patients in its own group and writes its topic; `outcomes` only reads."""
    if overlay.startswith("local"):
        return
    rights = {
        user["metadata"]["name"]: {
            (rule["resource"]["type"], rule["resource"]["name"], *rule["operations"])
            for rule in user["spec"]["authorization"]["acls"]
        }
        for user in of_kind(overlay, "KafkaUser")
    }
    shadow = f"heartstream{GROUP_SUFFIX}"
    assert rights["heartstream-shadow"] == {
        ("topic", topics.PATIENTS, "Read", "Describe"),
        ("topic", topics.SHADOW, "Write", "Describe", "DescribeConfigs"),
        ("group", shadow, "Read", "Describe"),
        ("transactionalId", shadow, "Write", "Describe"),
    }
    assert rights["heartstream-outcomes"] == {
        ("topic", topics.SCORES, "Read", "Describe"),
        ("topic", topics.OUTCOMES, "Read", "Describe"),
    }


def test_kafka_topics_match_the_settings(overlay: str) -> None:
    """Topics that an operator creates have the names of the settings, and partitions for all workers."""
    made = {x["metadata"]["name"]: x["spec"]["partitions"] for x in of_kind(overlay, "KafkaTopic")}
    if overlay.startswith("local"):
        assert made == {}
        return
    streams = {topics.PATIENTS, topics.SCORES, topics.SHADOW, topics.DEAD_LETTERS, topics.OUTCOMES}
    assert set(made) == {*streams, "audit"}
    (scaled,) = of_kind(overlay, "ScaledObject")
    assert scaled["spec"]["maxReplicaCount"] <= made[topics.PATIENTS]
