"""Laws of a deployment in a cluster. Each is a function that returns a summary, or raises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.k8s import clients, deployment
from tests.k8s.cluster import NAMESPACE, Cluster, ClusterError, ends_of, is_ready, wait_for
from tests.k8s.manifests import OPTIONAL, own_overlay
from tests.support.docker_cli import ROOT

BAD_MODEL: Final = "Error 65"


def must(law: str, *, holds: bool, seen: object) -> None:
    """Raise AssertionError with the observation if a law does not hold."""
    if not holds:
        raise AssertionError(f"{law}: {seen}")


def production_is_accepted(cluster: Cluster) -> str:
    """The API server accepts every object of production and its components, with the operators' own definitions."""
    definitions = sorted((ROOT / "tests/k8s/crds").glob("*.json"))
    for definition in definitions:
        cluster.run("apply", "--server-side", "-f", str(definition))
    names = [json.loads(definition.read_text())["metadata"]["name"] for definition in definitions]
    cluster.run("apply", "-k", str(ROOT / "k8s/namespace"))
    cluster.run("wait", "--for=condition=Established", "--timeout=60s", *(f"crd/{name}" for name in names))
    with own_overlay("production", *OPTIONAL["production"], "tracing", "registry") as folder:
        accepted = cluster.run("apply", "-k", str(folder), "--dry-run=server", "--validate=strict").splitlines()
    must("all are accepted", holds=all(line.endswith("(server dry run)") for line in accepted), seen=accepted)
    return f"{len(accepted)} objects by server-side dry run"


def comes_up(cluster: Cluster) -> str:
    """Everything starts in an empty namespace that accepts only restricted pods."""
    deployment.deploy(cluster)
    enforced = cluster.get("namespace", NAMESPACE)["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
    try:
        cluster.here("run", "root", f"--image={clients.IMAGE}")
    except ClusterError as refused:
        must("a pod that says nothing of its rights is refused", holds="restricted" in str(refused), seen=refused)
    else:
        raise AssertionError("a pod that says nothing of its rights was accepted")
    pods = [*cluster.ready_pods("worker"), *cluster.ready_pods("gateway")]
    must("three workers and three gateways are ready", holds=len(pods) == 6, seen=pods)
    return f"3 workers and 3 gateways ready, Pod Security {enforced}"


def reapplying_changes_nothing(cluster: Cluster) -> str:
    """Applying the same manifests again changes nothing."""
    applied = cluster.run("apply", "-k", str(deployment.LOCAL)).splitlines()
    cluster.run("diff", "-k", str(deployment.LOCAL))
    pods = [*cluster.ready_pods("worker"), *cluster.ready_pods("gateway")]
    must("all pods are ready", holds=len(pods) == 6, seen=pods)
    return f"{len(applied)} objects without a difference"


def scores_the_stream(cluster: Cluster) -> str:
    """Each record has one outcome: a score, or a dead letter if it is invalid."""
    with clients.stream(cluster, "first-records", rate=1000) as account:
        wait_for("records", lambda: clients.progress(cluster, "first-records", "clients").get("produced", 0) > 10_000)
    _judge(account, repeats=False)
    must("both outcomes are seen", holds=account["scores"] > 0 < account["patients.dlq"], seen=account)
    return _summary(account)


def optional_components_run(cluster: Cluster) -> str:
    """A challenger scores its sample of all records, and outcomes of those scores are evaluated; both have metrics."""
    share = 0.25
    with deployment.optional_components(cluster, share):
        found = clients.compare_challenger(cluster, share)
        must("the sample is scored as by the champion", holds=found["missing"] == found["other"] == 0, seen=found)
        wanted = {
            r'heartstream_shadow_records_total{outcome="same_label"}': {float(found["shadow"])},
            r'heartstream_outcomes_evaluated{.*window="all".*}': {float(found["shadow"])},
            r"heartstream_outcomes_excluded{.*}": {0.0},
        }
        by = {name: name.split("_")[1] for name in wanted}
        wait_for(
            "metrics of shadow and outcomes",
            lambda: {name: set(_metric(cluster, by[name], name)) for name in wanted} == wanted,
        )
    pods = [*cluster.ready_pods("worker"), *cluster.ready_pods("gateway")]
    must("workers and gateways stay ready", holds=len(pods) == 6, seen=pods)
    return f"{found['shadow']:,} of {found['scores']:,} records scored in shadow, as many outcomes judged"


def network_policies_hold(cluster: Cluster) -> str:
    """The Service and the Ingress rule's backend are reachable from the allowed namespaces only."""
    rule = cluster.get("ingress", "heartstream-gateway")["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    service = cluster.get("service", rule["name"])
    port = next(port["port"] for port in service["spec"]["ports"] if port["name"] == rule["port"]["name"])
    backend = f"http://{rule['name']}.{NAMESPACE}.svc:{port}/health"
    metrics = f"http://heartstream-worker.{NAMESPACE}.svc:9100/metrics"
    seen = {
        "ingress to gateway": clients.get(cluster, "ingress-nginx", backend),
        "stranger to gateway": clients.get(cluster, "strangers", backend),
        "ingress to metrics": clients.get(cluster, "ingress-nginx", metrics),
    }
    expected = {"ingress to gateway": "200", "stranger to gateway": "no way", "ingress to metrics": "no way"}
    must("the rules are obeyed", holds=seen == expected, seen=seen)
    with clients.callers(cluster, "first-calls") as ends:
        wait_for("answers", lambda: clients.progress(cluster, "first-calls", "ingress-nginx").get("200", 0) > 1_000)
    must("each request is answered", holds=set(ends) == {"200"}, seen=ends)
    return f"{ends['200']:,} predictions; stranger and metrics port: no way"


def workers_come_and_go(cluster: Cluster) -> str:
    """Under load, a rollout of the workers and deleting two, one without a grace period, loses no record."""
    with clients.stream(cluster, "while-rolling") as account:
        cluster.here("rollout", "restart", "deployment/heartstream-worker")
        cluster.rolled_out("deployment/heartstream-worker")
        _delete_one(cluster, "worker")
    _judge(account, repeats=False)
    with clients.stream(cluster, "while-killing") as after:
        _delete_one(cluster, "worker", "--grace-period=0", "--force")
    _judge(after, repeats=True)
    return f"rolled, one deleted: {_summary(account)}; one killed: {_summary(after)}"


def gateways_come_and_go(cluster: Cluster) -> str:
    """Under load, a rollout of the gateways and deleting one fails no request."""
    with clients.callers(cluster, "while-rolling") as ends:
        cluster.here("rollout", "restart", "deployment/heartstream-gateway")
        cluster.rolled_out("deployment/heartstream-gateway")
        _delete_one(cluster, "gateway")
    must("no request fails", holds=set(ends) == {"200"}, seen=ends)
    return f"{ends['200']:,} predictions, 0 failed"


def workers_share(cluster: Cluster) -> str:
    """One worker has all partitions, three have two each, and the rebalance loses no record."""
    cluster.here("scale", "deployment/heartstream-worker", "--replicas=1")
    wait_for("one worker with all partitions", lambda: _assigned(cluster) == [6])
    with clients.stream(cluster, "while-sharing") as account:
        cluster.here("scale", "deployment/heartstream-worker", "--replicas=3")
        wait_for("three workers with two partitions each", lambda: _assigned(cluster) == [2, 2, 2])
    _judge(account, repeats=False)
    return f"6 -> 2+2+2 partitions; {_summary(account)}"


def an_invalid_model_stops_the_rollout(cluster: Cluster) -> str:
    """A model with a wrong checksum is not served: the rollout stops, and the old pods keep serving."""
    deployment.spoil_a_model(cluster)
    before = {component: cluster.ready_pods(component) for component in ("worker", "gateway")}
    with clients.stream(cluster, "while-broken") as account, clients.callers(cluster, "while-broken") as ends:
        deployment.serve(cluster, "/model/broken")
        for component in before:
            wait_for(f"a refused {component}", lambda component=component: _refused(cluster, component))
        after = {component: cluster.ready_pods(component) for component in before}
    must("the old pods serve", holds=after == before, seen=(before, after))
    must("no request fails", holds=set(ends) == {"200"}, seen=ends)
    _judge(account, repeats=False)
    cluster.here("delete", "job", "broken")
    cluster.run("apply", "-k", str(deployment.LOCAL))
    cluster.rolled_out(*deployment.ALL)
    return f"new pods end with 65 and are not ready, 6 old ones serve: {_summary(account)}, {ends['200']} calls"


def evictions_wait(cluster: Cluster) -> str:
    """Pods of a component are evicted one at a time, as when nodes are drained."""
    seen = {}
    for component in ("worker", "gateway"):
        wait_for(f"three {component}s", lambda component=component: len(cluster.ready_pods(component)) == 3)
        first, second = cluster.ready_pods(component)[:2]
        seen[component] = (_evict(cluster, first), _evict(cluster, second))
    expected = ("evicted", "refused")
    must("the second is refused", holds=all(answers == expected for answers in seen.values()), seen=seen)
    cluster.rolled_out(*deployment.ALL)
    return "one evicted, the next refused until it is back"


def _delete_one(cluster: Cluster, component: str, *how: str) -> None:
    pod = cluster.ready_pods(component)[0]
    cluster.here("delete", "pod", pod, *how)
    wait_for("another in its place", lambda: len(cluster.ready_pods(component)) == 3)


def _assigned(cluster: Cluster) -> list[int]:
    """Return how many partitions each ready worker has, by its metrics."""
    return sorted(int(value) for value in _metric(cluster, "worker", r"\w+_assigned_partitions"))


def _metric(cluster: Cluster, component: str, name: str) -> list[float]:
    """Return the values of a metric (a regular expression) of all ready pods of a component."""
    ask = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9100/metrics').read().decode())"
    try:
        texts = [cluster.within(pod, "python", "-c", ask) for pod in cluster.ready_pods(component)]
    except ClusterError:
        return []  # a pod has just ended
    return [float(value) for text in texts for value in re.findall(rf"^{name} (\S+)", text, re.MULTILINE)]


def _refused(cluster: Cluster, component: str) -> bool:
    """Whether a pod that is not ready has exited because of an invalid model."""
    return any(BAD_MODEL in ends_of(pod) for pod in cluster.pods(component) if not is_ready(pod))


def _evict(cluster: Cluster, pod: str) -> str:
    review = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    try:
        cluster.run("create", "--raw", path, "-f", "-", stdin=json.dumps(review))
    except ClusterError as refused:
        return "refused" if "disruption budget" in str(refused) else str(refused)
    return "evicted"


def _judge(account: dict[str, int], *, repeats: bool) -> None:
    wrong = {name: account[name] for name in ("lost", "unknown", "differing") if account[name]}
    if account["repeated"] and not repeats:
        wrong["repeated"] = account["repeated"]
    must("every record has its outcome", holds=not wrong and account["produced"] > 0, seen=account)


def _summary(account: dict[str, int]) -> str:
    return f"{account['produced']:,} records, lost {account['lost']}, repeated {account['repeated']}"


LAWS: Final[Sequence[Callable[[Cluster], Any]]] = (
    production_is_accepted,
    comes_up,
    reapplying_changes_nothing,
    scores_the_stream,
    optional_components_run,
    network_policies_hold,
    workers_come_and_go,
    gateways_come_and_go,
    workers_share,
    an_invalid_model_stops_the_rollout,
    evictions_wait,
)
"""In the order of their checks: each leaves the cluster as it found it."""
