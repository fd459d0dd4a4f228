"""Static checks of the Kubernetes manifests."""

from __future__ import annotations

import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.bootstrap import new_browser_policy
from runtime.settings import Settings
from schemas import topics
from tests.k8s.manifests import (
    OPTIONAL,
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
_BESIDE = OPTIONAL["local"]
_WHOSE_IMAGE = {"shadow": "worker", "outcomes": "training"}


def running(overlay: str) -> tuple[str, ...]:
    """Return the components of heartstream that run permanently."""
    return (*_SERVING, *_BESIDE) if overlay.endswith("with others") else _SERVING


def ours(overlay: str) -> dict[str, Document]:
    """Return heartstream's own pod templates, by component."""
    labelled = {
        template["metadata"]["labels"].get("app.kubernetes.io/component"): template
        for _, template in pod_templates(overlay)
    }
    return {component: labelled[component] for component in (*running(overlay), "training")}


def taken(policy: Document, overlay: str) -> set[str]:
    """Return the components of heartstream that a network policy selects."""
    labels = {component: template["metadata"]["labels"] for component, template in ours(overlay).items()}
    return {component for component in labels if selects(policy["podSelector"], labels[component])}


def environment(overlay: str, template: Document, folder: Path) -> dict[str, str]:
    """Return the environment of the first container; mounted secrets are files in `folder`."""
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
    for component, template in ours(overlay).items():
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
    for component in running(overlay):
        template = ours(overlay)[component]
        container = template["spec"]["containers"][0]
        paths = {
            kind: container[f"{kind}Probe"]["httpGet"]["path"].rpartition("/")[2]
            for kind in ("startup", "liveness", "readiness")
        }
        assert paths == {"startup": "startup", "liveness": "live", "readiness": "ready"}
        assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in paths} == {"metrics"}


def test_environments_are_valid_settings(overlay: str, tmp_path: Path) -> None:
    """The environment of each pod is valid and opens the ports that the containers declare."""
    for component in running(overlay):
        template = ours(overlay)[component]
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


def test_selectors_match_pods(overlay: str) -> None:
    """Each Service, disruption budget, network policy and spread constraint selects pods."""
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


def test_rollouts_and_drains_keep_services_up(overlay: str) -> None:
    """Three replicas; rollouts surge first, and drains take one pod at a time."""
    for component in _SERVING:
        deployment = named(overlay, "Deployment", f"heartstream-{component}")["spec"]
        assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
        scaled = of_kind(overlay, "HorizontalPodAutoscaler" if component == "gateway" else "ScaledObject")
        fewest = [x["spec"].get("minReplicas", x["spec"].get("minReplicaCount")) for x in scaled]
        assert [deployment["replicas"]] if not scaled else fewest == [3]
        assert ("replicas" in deployment) is not bool(scaled)
        budget = named(overlay, "PodDisruptionBudget", f"heartstream-{component}")["spec"]
        assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_network_traffic_is_denied_by_default(overlay: str) -> None:
    """No other policy allows traffic from everywhere, or to everywhere for our own pods."""
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


def test_optional_components_have_one_replica(overlay: str) -> None:
    """Each has the image with its dependencies, and a new pod starts after the old one ended."""
    templates = ours(overlay)
    for component in set(running(overlay)).intersection(_BESIDE):
        deployment = named(overlay, "Deployment", f"heartstream-{component}")["spec"]
        assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
        template = templates[component]
        image = templates[_WHOSE_IMAGE[component]]["spec"]["containers"][0]["image"]
        assert {container["image"] for container in containers(template)} == {image}
        assert template["spec"]["containers"][0]["args"][0] == component


def test_prometheus_can_scrape_every_component(overlay: str) -> None:
    """Each component has a Service with a metrics port, a ServiceMonitor, and a policy that allows it."""
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


def test_all_but_training_can_reach_kafka(overlay: str) -> None:
    """The network policy for Kafka selects every component except training."""
    policy = named(overlay, "NetworkPolicy", "heartstream-to-kafka")["spec"]
    assert taken(policy, overlay) == set(running(overlay))


def test_each_component_has_its_own_kafka_user(overlay: str, tmp_path: Path) -> None:
    """In overlays with authentication, each component has its own user and that user's password."""
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


@pytest.mark.parametrize(("component", "who"), [("tracing", {"worker", "gateway"}), ("registry", {"worker", "shadow"})])
def test_components_allow_their_egress(overlay: str, component: str, who: set[str]) -> None:
    """Tracing and schema registry components allow traffic to the address in the settings."""
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


def test_the_ingress_routes_to_the_gateway(overlay: str) -> None:
    """Its backend is a Service port that targets the gateway's HTTP port."""
    (ingress,) = of_kind(overlay, "Ingress")
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    service = named(overlay, "Service", backend["name"])["spec"]
    target = {port["name"]: port["targetPort"] for port in service["ports"]}[backend["port"]["name"]]
    gateway = ours(overlay)["gateway"]
    assert selects({"matchLabels": service["selector"]}, gateway["metadata"]["labels"])
    assert target in {port["name"] for port in gateway["spec"]["containers"][0]["ports"]}
    assert ingress["spec"]["tls"]


def test_pods_have_the_recommended_labels(overlay: str) -> None:
    """Pods have the labels name, component, part-of and version; the version is the package's."""
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


def test_the_gateway_accepts_its_host_names(overlay: str, tmp_path: Path) -> None:
    """The Ingress host, the Service's names and pod addresses are accepted; others only with authentication."""
    settings = Settings.from_mapping(environment(overlay, ours(overlay)["gateway"], tmp_path))
    policy = new_browser_policy(settings.gateway, is_open=not settings.auth.api_keys)
    service = "heartstream-gateway"
    domains = ("", ".heartstream", ".heartstream.svc", ".heartstream.svc.cluster.local")
    (ingress,) = of_kind(overlay, "Ingress")
    names = [*(rule["host"] for rule in ingress["spec"]["rules"]), *(service + each for each in domains)]
    assert [name for name in [*names, "10.244.0.7:8000", "[fd00::7]:8000"] if not policy.is_accepted(name)] == []
    assert policy.is_accepted("evil.example") is bool(settings.auth.api_keys)


def test_all_is_in_one_restricted_namespace(overlay: str) -> None:
    """Every object is in the namespace heartstream, which enforces the restricted pod security standard."""
    (namespace,) = of_kind(overlay, "Namespace")
    assert namespace["metadata"]["name"] == "heartstream"
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    others = [x for x in built(overlay) if x["kind"] != "Namespace" and x["metadata"]["namespace"] != "heartstream"]
    assert others == []


def test_manifests_contain_no_secrets(overlay: str) -> None:
    """Secrets are referenced and mounted as files, never set in an environment."""
    assert of_kind(overlay, "Secret") == []
    for _, template in pod_templates(overlay):
        for container in containers(template):
            assert not any("secretRef" in source for source in container.get("envFrom", ()))
            assert not any("secretKeyRef" in entry.get("valueFrom", {}) for entry in container.get("env", ()))


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
