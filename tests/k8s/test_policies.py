"""What the manifests promise, looked at without a cluster."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from runtime.settings import Settings
from schemas import topics
from tests.images.engine import ROOT
from tests.k8s.manifests import (
    OVERLAYS,
    Document,
    builder,
    built,
    containers,
    named,
    of_kind,
    pod_templates,
    selects,
)

pytestmark = [
    pytest.mark.skipif(builder() is None, reason="needs kubectl or kustomize"),
    pytest.mark.parametrize("overlay", OVERLAYS),
]
_OURS = ("worker", "gateway", "training")


def ours(overlay: str) -> dict[str, Document]:
    """Return the pod templates of heartstream itself, by component."""
    labelled = {
        template["metadata"]["labels"].get("app.kubernetes.io/component"): template
        for _, template in pod_templates(overlay)
    }
    return {component: labelled[component] for component in _OURS}


def environment(overlay: str, template: Document, folder: Path) -> dict[str, str]:
    """Return what the first container finds in its environment; mounted secrets are files in `folder`."""
    container = template["spec"]["containers"][0]
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= named(overlay, "ConfigMap", source["configMapRef"]["name"])["data"]
    found |= {entry["name"]: entry["value"] for entry in container.get("env", ()) if "value" in entry}
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for name, value in found.items():
        if name.endswith("_FILE"):
            assert any(value.startswith(f"{mount}/") for mount in mounts), f"{name} is not mounted"
            secret = folder / Path(value).name
            secret.write_text("a secret of good length")
            found[name] = str(secret)
    return found


def test_pods_are_restricted(overlay: str) -> None:
    """No pod runs as root, with a capability, with a token of the API server, or without a system call filter."""
    for name, template in pod_templates(overlay):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        for container in containers(template):
            rights = container["securityContext"]
            assert (rights["allowPrivilegeEscalation"], rights["capabilities"]) == (False, {"drop": ["ALL"]}), name


def test_file_systems_are_read_only(overlay: str) -> None:
    """Heartstream's own containers write to /tmp and, where they train, to the model volume."""
    for component, template in ours(overlay).items():
        for container in containers(template):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]
            writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            assert writable <= ({"/tmp", "/model"} if component == "training" else {"/tmp"}), container["name"]  # noqa: S108


def test_resources_are_asked_for_and_bounded(overlay: str) -> None:
    """Each container says what it needs and what it may take, and no image is the latest."""
    for name, template in pod_templates(overlay):
        for container in containers(template):
            resources = container["resources"]
            assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}, name
            tag = container["image"].rpartition(":")[2]
            assert tag != container["image"], f"{name} has an image without a tag"
            assert tag != "latest", name
            assert container["imagePullPolicy"] == "IfNotPresent", name


def test_what_serves_is_probed_where_it_answers(overlay: str) -> None:
    """Worker and gateway have three probes, each at its own path and at a port that the settings open."""
    for component in ("worker", "gateway"):
        template = ours(overlay)[component]
        container = template["spec"]["containers"][0]
        paths = {
            kind: container[f"{kind}Probe"]["httpGet"]["path"].rpartition("/")[2]
            for kind in ("startup", "liveness", "readiness")
        }
        assert paths == {"startup": "startup", "liveness": "live", "readiness": "ready"}
        assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in paths} == {"metrics"}


def test_settings_are_settings(overlay: str, tmp_path: Path) -> None:
    """The environment of worker and gateway is valid, and opens the ports that the containers name."""
    for component in ("worker", "gateway"):
        template = ours(overlay)[component]
        settings = Settings.from_mapping(environment(overlay, template, tmp_path))
        ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
        if component == "worker":
            assert ports == {"metrics": settings.telemetry.port}
        else:
            assert ports == {"http": settings.gateway.port, "metrics": settings.gateway.metrics_port}
        assert settings.telemetry.host == "0.0.0.0"  # noqa: S104  # the pod's address; a policy says who comes in


def test_there_is_time_to_leave(overlay: str, tmp_path: Path) -> None:
    """What drains has ended five seconds before the kubelet kills it; a gateway is left before it goes."""
    for component in ("worker", "gateway"):
        template = ours(overlay)[component]
        settings = Settings.from_mapping(environment(overlay, template, tmp_path))
        needed = {
            "worker": settings.worker.drain_seconds,
            "gateway": settings.gateway.leave_seconds + settings.gateway.drain_seconds,
        }[component]
        assert template["spec"]["terminationGracePeriodSeconds"] >= needed + 5
        readiness = template["spec"]["containers"][0]["readinessProbe"]
        if component == "gateway":
            assert settings.gateway.leave_seconds > readiness["periodSeconds"]


def test_selectors_find_pods(overlay: str) -> None:
    """Each Service, disruption budget, network policy and spread constraint selects pods that there are."""
    labels = [template["metadata"]["labels"] for _, template in pod_templates(overlay)]
    selectors = {
        **{
            f"Service/{x['metadata']['name']}": {"matchLabels": x["spec"]["selector"]}
            for x in of_kind(overlay, "Service")
        },
        **{f"Budget/{x['metadata']['name']}": x["spec"]["selector"] for x in of_kind(overlay, "PodDisruptionBudget")},
        **{
            f"Policy/{x['metadata']['name']}": x["spec"]["podSelector"]
            for x in of_kind(overlay, "NetworkPolicy")
            if "strimzi.io/cluster" not in x["spec"]["podSelector"].get("matchLabels", {})
        },
    }
    for name, selector in selectors.items():
        assert any(selects(selector, found) for found in labels), name
    for component in ("worker", "gateway"):
        template = ours(overlay)[component]
        for constraint in template["spec"]["topologySpreadConstraints"]:
            assert selects(constraint["labelSelector"], template["metadata"]["labels"])


def test_what_serves_stays_up(overlay: str) -> None:
    """Three of each; a rollout takes none away before another is ready, and a drain takes one at a time."""
    for component in ("worker", "gateway"):
        deployment = named(overlay, "Deployment", f"heartstream-{component}")["spec"]
        assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        scaled = of_kind(overlay, "HorizontalPodAutoscaler" if component == "gateway" else "ScaledObject")
        fewest = [x["spec"].get("minReplicas", x["spec"].get("minReplicaCount")) for x in scaled]
        assert [deployment["replicas"]] if not scaled else fewest == [3]
        assert ("replicas" in deployment) is not bool(scaled)
        budget = named(overlay, "PodDisruptionBudget", f"heartstream-{component}")["spec"]
        assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_nobody_talks_unless_it_is_said(overlay: str) -> None:
    """A policy denies all in the namespace; no other opens a way in for everybody, or a way out for our own pods."""
    policies = {x["metadata"]["name"]: x["spec"] for x in of_kind(overlay, "NetworkPolicy")}
    assert policies.pop("default-deny") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    pods = [template["metadata"]["labels"] for template in ours(overlay).values()]
    for name, policy in policies.items():
        for rule in policy.get("ingress", ()):
            assert rule["from"], name
            assert rule["ports"], name
        if any(selects(policy["podSelector"], labels) for labels in pods):
            for rule in policy.get("egress", ()):
                assert rule["to"], name
                assert rule["ports"], name


def test_the_ingress_leads_to_the_gateway(overlay: str) -> None:
    """The Ingress rule's backend is a port of a Service that selects gateways, at the port where they listen."""
    (ingress,) = of_kind(overlay, "Ingress")
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    service = named(overlay, "Service", backend["name"])["spec"]
    target = {port["name"]: port["targetPort"] for port in service["ports"]}[backend["port"]["name"]]
    gateway = ours(overlay)["gateway"]
    assert selects({"matchLabels": service["selector"]}, gateway["metadata"]["labels"])
    assert target in {port["name"] for port in gateway["spec"]["containers"][0]["ports"]}
    assert ingress["spec"]["tls"]


def test_labels_are_the_usual_ones(overlay: str) -> None:
    """Pods carry name, component, part and version; the version is that of the package."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for component in ("worker", "gateway"):
        labels = ours(overlay)[component]["metadata"]["labels"]
        kept = {key.rpartition("/")[2]: value for key, value in labels.items() if key.startswith("app.kubernetes.io/")}
        assert kept == {
            "name": "heartstream",
            "component": component,
            "part-of": "heartstream",
            "managed-by": "kustomize",
            "version": version,
        }


def test_all_is_in_one_restricted_namespace(overlay: str) -> None:
    """Each object lives in the namespace heartstream, which takes restricted pods alone."""
    (namespace,) = of_kind(overlay, "Namespace")
    assert namespace["metadata"]["name"] == "heartstream"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    elsewhere = [x for x in built(overlay) if x["kind"] != "Namespace" and x["metadata"]["namespace"] != "heartstream"]
    assert elsewhere == []


def test_no_secret_is_in_the_files(overlay: str) -> None:
    """Secrets are named and mounted as files; none is written here, and none stands in an environment."""
    assert of_kind(overlay, "Secret") == []
    for _, template in pod_templates(overlay):
        for container in containers(template):
            assert not any("secretRef" in source for source in container.get("envFrom", ()))
            assert not any("secretKeyRef" in entry.get("valueFrom", {}) for entry in container.get("env", ()))


def test_the_default_topics_are_the_topics(overlay: str) -> None:
    """Where topics are made by an operator they are those that the settings name, and enough for all workers."""
    made = {x["metadata"]["name"]: x["spec"]["partitions"] for x in of_kind(overlay, "KafkaTopic")}
    if overlay == "local":
        assert made == {}
        return
    assert set(made) == {topics.PATIENTS, topics.SCORES, topics.DEAD_LETTERS, "audit"}
    (scaled,) = of_kind(overlay, "ScaledObject")
    assert scaled["spec"]["maxReplicaCount"] <= made[topics.PATIENTS]
