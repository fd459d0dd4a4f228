"""Static checks of the pods in the Kubernetes manifests."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from runtime.settings import Settings
from tests.k8s.manifests import (
    OPTIONAL_LOCALLY,
    OVERLAYS,
    SERVING,
    builder,
    containers,
    environment,
    named,
    of_kind,
    own_templates,
    permanent_components,
    pod_templates,
)
from tests.support.docker_cli import ROOT

pytestmark = [
    pytest.mark.skipif(builder() is None, reason="needs kubectl or kustomize"),
    pytest.mark.parametrize("overlay", OVERLAYS),
]
_IMAGE_OF = {"shadow": "worker", "outcomes": "training"}


def test_pods_are_restricted(overlay: str) -> None:
    """No pod runs as root, with a capability, with an API token, or without a seccomp profile."""
    for name, template in pod_templates(overlay):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        for container in containers(template):
            rights = container["securityContext"]
            assert (rights["allowPrivilegeEscalation"], rights["capabilities"]) == (False, {"drop": ["ALL"]}), name


def test_file_systems_are_read_only(overlay: str) -> None:
    """Our containers write only to /tmp, and training also to the model volume."""
    for component, template in own_templates(overlay).items():
        for container in containers(template):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True, container["name"]
            writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
            assert writable <= ({"/tmp", "/model"} if component == "training" else {"/tmp"}), container["name"]  # noqa: S108


def test_resources_have_requests_and_limits(overlay: str) -> None:
    """Each container has requests and limits, and no image has the tag latest."""
    for name, template in pod_templates(overlay):
        for container in containers(template):
            resources = container["resources"]
            assert resources["requests"].keys() == resources["limits"].keys() == {"cpu", "memory"}, name
            tag = container["image"].rpartition(":")[2]
            assert tag != container["image"], f"{name} has an image without a tag"
            assert tag != "latest", name
            assert container["imagePullPolicy"] == "IfNotPresent", name


def test_services_have_three_probes(overlay: str) -> None:
    """Each probe has its own path, at a port that the settings open."""
    for component in permanent_components(overlay):
        template = own_templates(overlay)[component]
        container = template["spec"]["containers"][0]
        paths = {
            kind: container[f"{kind}Probe"]["httpGet"]["path"].rpartition("/")[2]
            for kind in ("startup", "liveness", "readiness")
        }
        assert paths == {"startup": "startup", "liveness": "live", "readiness": "ready"}
        assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in paths} == {"metrics"}


def test_environments_are_valid_settings(overlay: str, tmp_path: Path) -> None:
    """The environment of each pod is valid and opens the ports that the containers declare."""
    for component in permanent_components(overlay):
        template = own_templates(overlay)[component]
        settings = Settings.from_mapping(environment(overlay, template, tmp_path))
        ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
        if component == "gateway":
            assert ports == {"http": settings.gateway.port, "metrics": settings.gateway.metrics_port}
        else:
            assert ports == {"metrics": settings.telemetry.port}
        assert bool(settings.challenger.path) is (component == "shadow")
        assert settings.telemetry.host == "0.0.0.0"  # noqa: S104  # the pod's address; a policy limits access


def test_the_grace_period_covers_the_drain_time(overlay: str, tmp_path: Path) -> None:
    """Draining ends five seconds before the kubelet kills; a gateway first waits to be removed from endpoints."""
    for component in permanent_components(overlay):
        template = own_templates(overlay)[component]
        settings = Settings.from_mapping(environment(overlay, template, tmp_path))
        needed = {
            "worker": settings.worker.drain_seconds,
            "shadow": settings.worker.drain_seconds,
            "outcomes": 0,
            "gateway": settings.gateway.shutdown_delay_seconds + settings.gateway.drain_seconds,
        }[component]
        assert template["spec"]["terminationGracePeriodSeconds"] >= needed + 5
        readiness = template["spec"]["containers"][0]["readinessProbe"]
        if component == "gateway":
            assert settings.gateway.shutdown_delay_seconds > readiness["periodSeconds"]


def test_rollouts_and_drains_keep_services_up(overlay: str) -> None:
    """Three replicas; rollouts surge first, and drains take one pod at a time."""
    for component in SERVING:
        deployment = named(overlay, "Deployment", f"heartstream-{component}")["spec"]
        assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        scaled = of_kind(overlay, "HorizontalPodAutoscaler" if component == "gateway" else "ScaledObject")
        fewest = [x["spec"].get("minReplicas", x["spec"].get("minReplicaCount")) for x in scaled]
        assert [deployment["replicas"]] if not scaled else fewest == [3]
        assert ("replicas" in deployment) is not bool(scaled)
        budget = named(overlay, "PodDisruptionBudget", f"heartstream-{component}")["spec"]
        assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_optional_components_have_one_replica(overlay: str) -> None:
    """Each has the image with its dependencies, and a new pod starts after the old one ended."""
    templates = own_templates(overlay)
    for component in set(permanent_components(overlay)).intersection(OPTIONAL_LOCALLY):
        deployment = named(overlay, "Deployment", f"heartstream-{component}")["spec"]
        assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
        template = templates[component]
        image = templates[_IMAGE_OF[component]]["spec"]["containers"][0]["image"]
        assert {container["image"] for container in containers(template)} == {image}
        assert template["spec"]["containers"][0]["args"][0] == component


def test_pods_have_the_recommended_labels(overlay: str) -> None:
    """Pods have the labels name, component, part-of and version; the version is the package's."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for component in SERVING:
        labels = own_templates(overlay)[component]["metadata"]["labels"]
        kept = {key.rpartition("/")[2]: value for key, value in labels.items() if key.startswith("app.kubernetes.io/")}
        assert kept == {
            "name": "heartstream",
            "component": component,
            "part-of": "heartstream",
            "managed-by": "kustomize",
            "version": version,
        }


def test_manifests_contain_no_secrets(overlay: str) -> None:
    """Secrets are referenced and mounted as files, never set in an environment."""
    assert of_kind(overlay, "Secret") == []
    for _, template in pod_templates(overlay):
        for container in containers(template):
            assert not any("secretRef" in source for source in container.get("envFrom", ()))
            assert not any("secretKeyRef" in entry.get("valueFrom", {}) for entry in container.get("env", ()))
