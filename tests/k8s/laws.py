"""What must hold in a cluster. Each law is a function that returns what was seen, or raises."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from tests.k8s import clients, deployment
from tests.k8s.cluster import NAMESPACE, Cluster, ClusterError, ends_of, is_ready, wait_for
from tests.k8s.manifests import BESIDE, own_overlay
from tests.support.docker_cli import ROOT

BAD_MODEL: Final = "Error 65"


def must(law: str, *, holds: bool, seen: object) -> None:
    """Raise AssertionError with what was seen where a law does not hold."""
    if not holds:
        raise AssertionError(f"{law}: {seen}")


def production_is_accepted(cluster: Cluster) -> str:
    """The API server takes every object of production and its components, with the operators' own definitions."""
    definitions = sorted((ROOT / "tests/k8s/crds").glob("*.json"))
    for definition in definitions:
        cluster.run("apply", "--server-side", "-f", str(definition))
    names = [json.loads(definition.read_text())["metadata"]["name"] for definition in definitions]
    cluster.run("apply", "-k", str(ROOT / "k8s/namespace"))
    cluster.run("wait", "--for=condition=Established", "--timeout=60s", *(f"crd/{name}" for name in names))
    with own_overlay("production", *BESIDE["production"], "tracing", "registry") as folder:
        told = cluster.run("apply", "-k", str(folder), "--dry-run=server", "--validate=strict").splitlines()
    must("all are accepted", holds=all(line.endswith("(server dry run)") for line in told), seen=told)
    return f"{len(told)} objects by server-side dry run"


def comes_up(cluster: Cluster) -> str:
    """All of it comes up from nothing, in a namespace that takes only restricted pods."""
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


def is_applied_again(cluster: Cluster) -> str:
    """Applying the same again changes nothing."""
    applied = cluster.run("apply", "-k", str(deployment.LOCAL)).splitlines()
    cluster.run("diff", "-k", str(deployment.LOCAL))
    pods = [*cluster.ready_pods("worker"), *cluster.ready_pods("gateway")]
    must("all pods are ready", holds=len(pods) == 6, seen=pods)
    return f"{len(applied)} objects without a difference"


def scores_the_stream(cluster: Cluster) -> str:
    """Each record has one outcome: a score, or a dead letter where it is broken."""
    with clients.stream(cluster, "first-records", rate=1000) as account:
        wait_for("records", lambda: clients.progress(cluster, "first-records", "clients").get("produced", 0) > 10_000)
    _judge(account, repeats=False)
    must("both outcomes are seen", holds=account["scores"] > 0 < account["patients.dlq"], seen=account)
    return _told(account)


def others_run_beside(cluster: Cluster) -> str:
    """A challenger scores its sample of all records, and outcomes of those scores are judged, each in its metrics."""
    share = 0.25
    with deployment.beside(cluster, share):
        told = clients.challenger_looked_at(cluster, share)
        must("the sample is scored as by the champion", holds=told["missing"] == told["other"] == 0, seen=told)
        wanted = {
            r'heartstream_shadow_records_total{outcome="same_label"}': {float(told["shadow"])},
            r'heartstream_outcomes_evaluated{.*window="all".*}': {float(told["shadow"])},
            r"heartstream_outcomes_excluded{.*}": {0.0},
        }
        by = {name: name.split("_")[1] for name in wanted}
        wait_for(
            "metrics of shadow and outcomes",
            lambda: {name: set(_metric(cluster, by[name], name)) for name in wanted} == wanted,
        )
    pods = [*cluster.ready_pods("worker"), *cluster.ready_pods("gateway")]
    must("workers and gateways stay ready", holds=len(pods) == 6, seen=pods)
    return f"{told['shadow']:,} of {told['scores']:,} records scored in shadow, as many outcomes judged"


def answers_by_the_rules(cluster: Cluster) -> str:
    """The Service and the Ingress rule's backend answer those who may ask, and nobody else."""
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
    """Rolling the workers and deleting some, one without notice, under load loses nothing."""
    with clients.stream(cluster, "while-rolling") as account:
        cluster.here("rollout", "restart", "deployment/heartstream-worker")
        cluster.rolled_out("deployment/heartstream-worker")
        _delete_one(cluster, "worker")
    _judge(account, repeats=False)
    with clients.stream(cluster, "while-killing") as after:
        _delete_one(cluster, "worker", "--grace-period=0", "--force")
    _judge(after, repeats=True)
    return f"rolled, one deleted: {_told(account)}; one killed: {_told(after)}"


def gateways_come_and_go(cluster: Cluster) -> str:
    """Rolling the gateways and deleting one under load fails no request."""
    with clients.callers(cluster, "while-rolling") as ends:
        cluster.here("rollout", "restart", "deployment/heartstream-gateway")
        cluster.rolled_out("deployment/heartstream-gateway")
        _delete_one(cluster, "gateway")
    must("no request fails", holds=set(ends) == {"200"}, seen=ends)
    return f"{ends['200']:,} predictions, 0 failed"


def workers_share(cluster: Cluster) -> str:
    """One worker has all partitions; three have them evenly, and nothing is lost while they share."""
    cluster.here("scale", "deployment/heartstream-worker", "--replicas=1")
    wait_for("one worker with all partitions", lambda: _assigned(cluster) == [6])
    with clients.stream(cluster, "while-sharing") as account:
        cluster.here("scale", "deployment/heartstream-worker", "--replicas=3")
        wait_for("three workers with two partitions each", lambda: _assigned(cluster) == [2, 2, 2])
    _judge(account, repeats=False)
    return f"6 -> 2+2+2 partitions; {_told(account)}"


def a_broken_model_stops(cluster: Cluster) -> str:
    """A model whose checksum is wrong is served by nobody: the rollout stops, and those before it go on."""
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
    return f"new pods end with 65 and are not ready, 6 old ones serve: {_told(account)}, {ends['200']} calls"


def evictions_wait(cluster: Cluster) -> str:
    """Draining nodes takes one pod of a kind at a time."""
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
    """Return how many partitions each ready worker has, by its own metrics."""
    return sorted(int(value) for value in _metric(cluster, "worker", r"\w+_assigned_partitions"))


def _metric(cluster: Cluster, component: str, name: str) -> list[float]:
    """Return the values of a metric (a regular expression), of all ready pods of a component, by their own word."""
    ask = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9100/metrics').read().decode())"
    try:
        told = [cluster.within(pod, "python", "-c", ask) for pod in cluster.ready_pods(component)]
    except ClusterError:
        return []  # one has just gone
    return [float(value) for text in told for value in re.findall(rf"^{name} (\S+)", text, re.MULTILINE)]


def _refused(cluster: Cluster, component: str) -> bool:
    """Say if a pod that is not ready has ended for a bad model."""
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


def _told(account: dict[str, int]) -> str:
    return f"{account['produced']:,} records, lost {account['lost']}, repeated {account['repeated']}"


LAWS: Final[Sequence[Callable[[Cluster], Any]]] = (
    production_is_accepted,
    comes_up,
    is_applied_again,
    scores_the_stream,
    others_run_beside,
    answers_by_the_rules,
    workers_come_and_go,
    gateways_come_and_go,
    workers_share,
    a_broken_model_stops,
    evictions_wait,
)
"""In the order in which they are looked at: each leaves the cluster as it found it."""
