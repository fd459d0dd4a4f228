"""Static checks of network policies, Services and Ingress in the Kubernetes manifests."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from api.bootstrap import new_browser_policy
from runtime.settings import Settings
from tests.k8s.manifests import (
    OPTIONAL_LOCALLY,
    OVERLAYS,
    SERVING,
    builder,
    built,
    built_at,
    environment,
    named,
    of_kind,
    own_overlay,
    own_templates,
    permanent_components,
    pod_templates,
    selected_components,
    selects,
)

pytestmark = [
    pytest.mark.skipif(builder() is None, reason="needs kubectl or kustomize"),
    pytest.mark.parametrize("overlay", OVERLAYS),
]


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
    for component in SERVING:
        template = own_templates(overlay)[component]
        for constraint in template["spec"]["topologySpreadConstraints"]:
            assert selects(constraint["labelSelector"], template["metadata"]["labels"])


def test_network_traffic_is_denied_by_default(overlay: str) -> None:
    """No other policy allows traffic from everywhere, or to everywhere for our own pods."""
    policies = {x["metadata"]["name"]: x["spec"] for x in of_kind(overlay, "NetworkPolicy")}
    assert policies.pop("default-deny") == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    pods = [template["metadata"]["labels"] for template in own_templates(overlay).values()]
    for name, policy in policies.items():
        for rule in policy.get("ingress", ()):
            assert rule["from"], name
            assert rule["ports"], name
        if any(selects(policy["podSelector"], labels) for labels in pods):
            for rule in policy.get("egress", ()):
                assert rule["to"], name
                assert rule["ports"], name


def test_prometheus_can_scrape_every_component(overlay: str) -> None:
    """Each component has a Service with a metrics port, a ServiceMonitor, and a policy that allows it."""
    services, policies = of_kind(overlay, "Service"), of_kind(overlay, "NetworkPolicy")
    for component in permanent_components(overlay):
        labels = own_templates(overlay)[component]["metadata"]["labels"]
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
    assert selected_components(policy, overlay) == set(permanent_components(overlay))


@pytest.mark.parametrize(("component", "who"), [("tracing", {"worker", "gateway"}), ("registry", {"worker", "shadow"})])
def test_components_allow_their_egress(overlay: str, component: str, who: set[str]) -> None:
    """Tracing and schema registry components allow traffic to the address in the settings."""
    name, _, others = overlay.partition(" with ")
    with own_overlay(name, *(OPTIONAL_LOCALLY if others else ()), component) as folder:
        objects = built_at(folder)
    (settings,) = (x for x in objects if x["metadata"]["name"].startswith("heartstream-settings"))
    found = Settings.from_mapping({x: text for x, text in settings["data"].items() if not x.endswith("_FILE")})
    address = urlsplit({"tracing": found.tracing.endpoint, "registry": found.schema_registry.url}[component])
    names = {"tracing": "heartstream-to-collector", "registry": "heartstream-to-registry"}
    (policy,) = (x["spec"] for x in objects if x["metadata"]["name"] == names[component])
    assert selected_components(policy, overlay) == who.intersection(permanent_components(overlay))
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
    gateway = own_templates(overlay)["gateway"]
    assert selects({"matchLabels": service["selector"]}, gateway["metadata"]["labels"])
    assert target in {port["name"] for port in gateway["spec"]["containers"][0]["ports"]}
    assert ingress["spec"]["tls"]


def test_the_gateway_accepts_its_host_names(overlay: str, tmp_path: Path) -> None:
    """The Ingress host, the Service's names and pod addresses are accepted; others only with authentication."""
    settings = Settings.from_mapping(environment(overlay, own_templates(overlay)["gateway"], tmp_path))
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
