"""Users of heartstream in the cluster: pods in other namespaces that produce, consume and call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from heartstream.demo.patients import FLAWS, real_patients
from tests.k8s.cluster import Cluster, wait_for

NAMESPACES: Final = {
    "clients": {"heartstream/kafka-clients": "allowed"},
    "ingress-nginx": {},
    "strangers": {},
}
"""Namespaces that the network policies allow to use Kafka, to call the gateway, and neither."""

IMAGE: Final = "heartstream-worker:local"
GATEWAY: Final = "http://heartstream-gateway.heartstream.svc"
KAFKA: Final = "kafka-0.kafka.heartstream.svc:9092"
_INSIDE: Final = Path(__file__).parent / "inside"


def create_namespaces(cluster: Cluster) -> None:
    """Create the clients' namespaces, each with the programs and real records."""
    files = {file.name: file.read_text() for file in sorted(_INSIDE.glob("*.py"))}
    real = real_patients()
    patients = [json.dumps(patient) for patient in real]
    broken = [FLAWS[name](real[0]) for name in ("a field is missing", "out of range", "not JSON")]
    files["records"] = "\n".join([*patients, *(value.decode() for value in broken if value)])
    files["record"] = patients[0]
    for namespace, labels in NAMESPACES.items():
        metadata = {"name": namespace, "labels": labels}
        cluster.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "client", "namespace": namespace},
                "data": files,
            },
        )


def _pod(name: str, namespace: str, command: list[str]) -> dict[str, Any]:
    container = {
        "name": "client",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "env": [{"name": "KAFKA", "value": KAFKA}],
        "volumeMounts": [{"name": "client", "mountPath": "/client"}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "containers": [container],
            "volumes": [{"name": "client", "configMap": {"name": "client"}}],
        },
    }


def progress(cluster: Cluster, name: str, namespace: str) -> dict[str, int]:
    """Return a client's last line of JSON, or an empty dictionary before its first."""
    lines = [line for line in cluster.logs_of(name, namespace) if line.startswith("{")]
    return json.loads(lines[-1]) if lines else {}


@contextmanager
def _running(cluster: Cluster, name: str, namespace: str, *command: str) -> Iterator[dict[str, int]]:
    """Run a program in a pod in the context; afterwards the dictionary has its last line of JSON."""
    counts: dict[str, int] = {}
    cluster.apply(_pod(name, namespace, ["python", *command]))
    try:
        wait_for(f"the first word of {name}", lambda: progress(cluster, name, namespace))
        yield counts
        cluster.within(name, "touch", "/tmp/stop", namespace=namespace)  # noqa: S108  # the pod's own
        cluster.run(
            "-n", namespace, "wait", f"pod/{name}", "--for=jsonpath={.status.phase}=Succeeded", "--timeout=150s"
        )
        counts.update(progress(cluster, name, namespace))
    finally:
        cluster.run("-n", namespace, "delete", "pod", name, "--force", "--ignore-not-found")


@contextmanager
def stream(cluster: Cluster, name: str, rate: int = 500) -> Iterator[dict[str, int]]:
    """Produce records and read all outcomes in the context; afterwards the dictionary has the account."""
    with _running(cluster, name, "clients", "/client/stream.py", "/client/records", str(rate)) as counts:
        yield counts


@contextmanager
def callers(cluster: Cluster, name: str) -> Iterator[dict[str, int]]:
    """Call the gateway through its Service in the context; afterwards the dictionary counts the responses."""
    with _running(
        cluster, name, "ingress-nginx", "/client/caller.py", "/client/record", f"{GATEWAY}/predict"
    ) as counts:
        yield counts


def compare_challenger(cluster: Cluster, share: float) -> dict[str, int]:
    """Compare the challenger's scores with the champion's, and produce an outcome for each."""
    with _running(cluster, "challenger", "clients", "/client/challenger.py", str(share)) as counts:
        pass
    return counts


def get(cluster: Cluster, namespace: str, url: str) -> str:
    """Return the status that a pod of a namespace gets from a URL, or "no way" after five seconds."""
    name = "once"
    code = (
        "import sys,urllib.error,urllib.request\n"
        "try: print(urllib.request.urlopen(sys.argv[1], timeout=5).status)\n"
        "except urllib.error.HTTPError as error: print(error.code)\n"
        "except OSError: print('no way')"
    )
    cluster.apply(_pod(name, namespace, ["python", "-c", code, url]))
    try:
        return wait_for(f"an answer for {namespace}", lambda: cluster.logs_of(name, namespace))[0]
    finally:
        cluster.run("-n", namespace, "delete", "pod", name, "--force")
