"""What the manifests promise, looked at without a cluster."""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.bootstrap import new_browser_policy
from runtime.settings import Settings
from schemas import topics
from tests.k8s.manifests import (
    BESIDE,
    OVERLAYS,
    Document,
    builder,
    built,
    built_at,
    containers,
    named,
    of_kind,
    own_overlay,
    pod_templates,
    selects,
)
from tests.support.docker_cli import ROOT
from worker.shadow import GROUP_SUFFIX

pytestmark = [
    pytest.mark.skipif(builder() is None, reason="needs kubectl or kustomize"),
    pytest.mark.parametrize("overlay", OVERLAYS),
]
_SERVING = ("worker", "gateway")
_BESIDE = BESIDE["local"]
_WHOSE_IMAGE = {"shadow": "worker", "outcomes": "training"}


def running(overlay: str) -> tuple[str, ...]:
    """Return the components of heartstream that run for ever."""
    return (*_SERVING, *_BESIDE) if overlay.endswith("with others") else _SERVING


def ours(overlay: str) -> dict[str, Document]:
    """Return the pod templates of heartstream itself, by component."""
    labelled = {
        template["metadata"]["labels"].get("app.kubernetes.io/component"): template
        for _, template in pod_templates(overlay)
    }
    return {component: labelled[component] for component in (*running(overlay), "training")}


def taken(policy: Document, overlay: str) -> set[str]:
    """Return the components of heartstream whose pods a network policy is for."""
    labels = {component: template["metadata"]["labels"] for component, template in ours(overlay).items()}
    return {component for component in labels if selects(policy["podSelector"], labels[component])}


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
    """What runs for ever has three probes, each at its own path and at a port that the settings open."""
    for component in running(overlay):
        template = ours(overlay)[component]
        container = template["spec"]["containers"][0]
        paths = {
            kind: container[f"{kind}Probe"]["httpGet"]["path"].rpartition("/")[2]
            for kind in ("startup", "liveness", "readiness")
        }
        assert paths == {"startup": "startup", "liveness": "live", "readiness": "ready"}
        assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in paths} == {"metrics"}


def test_settings_are_settings(overlay: str, tmp_path: Path) -> None:
    """The environment of what runs for ever is valid, and opens the ports that the containers name."""
    for component in running(overlay):
        template = ours(overlay)[component]
        settings = Settings.from_mapping(environment(overlay, template, tmp_path))
        ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
        if component == "gateway":
            assert ports == {"http": settings.gateway.port, "metrics": settings.gateway.metrics_port}
        else:
            assert ports == {"metrics": settings.telemetry.port}
        assert bool(settings.challenger.path) is (component == "shadow")
        assert settings.telemetry.host == "0.0.0.0"  # noqa: S104  # the pod's address; a policy says who comes in


def test_there_is_time_to_leave(overlay: str, tmp_path: Path) -> None:
    """What drains has ended five seconds before the kubelet kills it; a gateway is left before it goes."""
    for component in running(overlay):
        template = ours(overlay)[component]
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
    for component in _SERVING:
        template = ours(overlay)[component]
        for constraint in template["spec"]["topologySpreadConstraints"]:
            assert selects(constraint["labelSelector"], template["metadata"]["labels"])


def test_what_serves_stays_up(overlay: str) -> None:
    """Three of each; a rollout takes none away before another is ready, and a drain takes one at a time."""
    for component in _SERVING:
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


def test_what_runs_beside_is_there_once(overlay: str) -> None:
    """There is one of each, with the image that holds what it needs; before another comes, it has gone."""
    templates = ours(overlay)
    for component in set(running(overlay)).intersection(_BESIDE):
        deployment = named(overlay, "Deployment", f"heartstream-{component}")["spec"]
        assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
        template = templates[component]
        image = templates[_WHOSE_IMAGE[component]]["spec"]["containers"][0]["image"]
        assert {container["image"] for container in containers(template)} == {image}
        assert template["spec"]["containers"][0]["args"][0] == component


def test_prometheus_reads_what_runs(overlay: str) -> None:
    """What runs for ever has a Service with its metrics port, which a ServiceMonitor takes, and a policy lets in."""
    services, policies = of_kind(overlay, "Service"), of_kind(overlay, "NetworkPolicy")
    for component in running(overlay):
        labels = ours(overlay)[component]["metadata"]["labels"]
        (service,) = (x for x in services if selects({"matchLabels": x["spec"]["selector"]}, labels))
        (port,) = (x for x in service["spec"]["ports"] if x["name"] == "metrics")
        assert port["targetPort"] == "metrics"
        for monitor in of_kind(overlay, "ServiceMonitor"):
            assert selects(monitor["spec"]["selector"], service["metadata"]["labels"]), component
            assert monitor["spec"]["endpoints"][0]["port"] == port["name"]
        (policy,) = (x["spec"] for x in policies if x["metadata"]["name"] == f"heartstream-{component}")
        assert selects(policy["podSelector"], labels)
        rule = policy["ingress"][-1]
        assert rule["from"][0]["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
        assert rule["ports"] == [{"protocol": "TCP", "port": "metrics"}]


def test_all_but_training_reach_kafka(overlay: str) -> None:
    """The policy that leads to Kafka takes all of heartstream's pods but those that train."""
    policy = named(overlay, "NetworkPolicy", "heartstream-to-kafka")["spec"]
    assert taken(policy, overlay) == set(running(overlay))


def test_each_is_a_user_of_its_own(overlay: str, tmp_path: Path) -> None:
    """Where Kafka asks who it is, each process is the user that has its name, with that user's password."""
    if overlay.startswith("local"):
        assert of_kind(overlay, "KafkaUser") == []
        return
    users = {x["metadata"]["name"] for x in of_kind(overlay, "KafkaUser")}
    for component in running(overlay):
        template = ours(overlay)[component]
        options = Settings.from_mapping(environment(overlay, template, tmp_path)).kafka.options
        secrets = {x["name"]: x["secret"]["secretName"] for x in template["spec"]["volumes"] if "secret" in x}
        assert options["sasl.username"] == secrets["kafka-password"] == f"heartstream-{component}"
        assert options["sasl.username"] in users
        assert options["sasl.password"]
        mounts = {mount["name"]: mount["mountPath"] for mount in template["spec"]["containers"][0]["volumeMounts"]}
        assert options["ssl.ca.location"] == f"{mounts['kafka-ca']}/ca.crt"
        assert secrets["kafka-ca"] == "heartstream-cluster-ca-cert"


def test_users_may_do_what_they_do_and_no_more(overlay: str) -> None:
    """A challenger reads patients in a group of its own, and writes to its topic; who judges outcomes only reads."""
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


@pytest.mark.parametrize(("component", "who"), [("tracing", {"worker", "gateway"}), ("registry", {"worker", "shadow"})])
def test_there_is_a_way_out_where_it_is_wanted(overlay: str, component: str, who: set[str]) -> None:
    """With the component, those who speak with a collector or a registry may reach the one that the settings name."""
    name, _, others = overlay.partition(" with ")
    with own_overlay(name, *(_BESIDE if others else ()), component) as folder:
        objects = built_at(folder)
    (settings,) = (x for x in objects if x["metadata"]["name"].startswith("heartstream-settings"))
    found = Settings.from_mapping({x: text for x, text in settings["data"].items() if not x.endswith("_FILE")})
    address = urlsplit({"tracing": found.tracing.endpoint, "registry": found.schema_registry.url}[component])
    names = {"tracing": "heartstream-to-collector", "registry": "heartstream-to-registry"}
    (policy,) = (x["spec"] for x in objects if x["metadata"]["name"] == names[component])
    assert taken(policy, overlay) == who.intersection(running(overlay))
    (rule,) = policy["egress"]
    (to,) = rule["to"]
    assert rule["ports"] == [{"protocol": "TCP", "port": address.port}]
    assert str(address.hostname).endswith(f".{to['namespaceSelector']['matchLabels']['kubernetes.io/metadata.name']}")
    assert to["podSelector"]["matchLabels"]


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
    for component in _SERVING:
        labels = ours(overlay)[component]["metadata"]["labels"]
        kept = {key.rpartition("/")[2]: value for key, value in labels.items() if key.startswith("app.kubernetes.io/")}
        assert kept == {
            "name": "heartstream",
            "component": component,
            "part-of": "heartstream",
            "managed-by": "kustomize",
            "version": version,
        }


def test_the_gateway_accepts_the_names_that_it_is_called_by(overlay: str, tmp_path: Path) -> None:
    """The Ingress' host, the Service's names and a pod's address; a foreign name only where callers authenticate."""
    settings = Settings.from_mapping(environment(overlay, ours(overlay)["gateway"], tmp_path))
    policy = new_browser_policy(settings.gateway, is_open=not settings.auth.api_keys)
    service = "heartstream-gateway"
    domains = ("", ".heartstream", ".heartstream.svc", ".heartstream.svc.cluster.local")
    (ingress,) = of_kind(overlay, "Ingress")
    names = [*(rule["host"] for rule in ingress["spec"]["rules"]), *(service + each for each in domains)]
    assert [name for name in [*names, "10.244.0.7:8000", "[fd00::7]:8000"] if not policy.is_known(name)] == []
    assert policy.is_known("evil.example") is bool(settings.auth.api_keys)


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
    if overlay.startswith("local"):
        assert made == {}
        return
    streams = {topics.PATIENTS, topics.SCORES, topics.SHADOW, topics.DEAD_LETTERS, topics.OUTCOMES}
    assert set(made) == {*streams, "audit"}
    (scaled,) = of_kind(overlay, "ScaledObject")
    assert scaled["spec"]["maxReplicaCount"] <= made[topics.PATIENTS]
