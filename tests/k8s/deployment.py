"""heartstream in the cluster, deployed as docs/deployment.md describes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.k8s.cluster import NAMESPACE, Cluster
from tests.k8s.manifests import OPTIONAL, own_overlay
from tests.support.docker_cli import ROOT

LOCAL: Final = ROOT / "k8s/overlays/local"
ALL: Final = ("statefulset/kafka", "deployment/heartstream-worker", "deployment/heartstream-gateway")


def deploy(cluster: Cluster) -> None:
    """Apply the local overlay, train the first model, and wait until everything is ready."""
    cluster.run("apply", "-k", str(LOCAL))
    cluster.here("create", "job", "--from=cronjob/heartstream-train", "first")
    cluster.rolled_out(*ALL)


def serve(cluster: Cluster, model: str) -> None:
    """Apply the local overlay with another model, as a user's overlay would."""
    literals = [f"HEARTSTREAM_MODEL__PATH={model}"]
    settings = {"name": "heartstream-settings", "behavior": "merge", "literals": literals}
    with own_overlay("local", configMapGenerator=[settings]) as folder:
        cluster.run("apply", "-k", str(folder))


@contextmanager
def optional_components(cluster: Cluster, share: float) -> Iterator[None]:
    """Run shadow and outcomes in the context; the challenger is the current model."""
    challenger = {
        "target": {"kind": "ConfigMap", "name": "heartstream-challenger"},
        "patch": _replaced(
            HEARTSTREAM_CHALLENGER__PATH="/model/first", HEARTSTREAM_CHALLENGER__SAMPLE_RATIO=str(share)
        ),
    }
    often = {
        "target": {"kind": "Deployment", "name": "heartstream-outcomes"},
        "patch": json.dumps(
            [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--interval=1"}]
        ),
    }
    before = set(cluster.run("apply", "-k", str(LOCAL), "-o", "name").splitlines())
    with own_overlay("local", *OPTIONAL["local"], patches=[challenger, often]) as folder:
        made = set(cluster.run("apply", "-k", str(folder), "-o", "name").splitlines()) - before
    try:
        cluster.rolled_out("deployment/heartstream-shadow", "deployment/heartstream-outcomes")
        yield
    finally:
        cluster.here("delete", "--ignore-not-found", *sorted(made))


def _replaced(**settings: str) -> str:
    return json.dumps([{"op": "replace", "path": f"/data/{name}", "value": text} for name, text in settings.items()])


def spoil_a_model(cluster: Cluster) -> None:
    """Copy the first model to /model/broken and change one byte of its largest file, as a disk error would."""
    job = cluster.get("cronjob", "heartstream-train")["spec"]["jobTemplate"]
    container = job["spec"]["template"]["spec"]["containers"][0]
    del container["args"]
    container["command"] = ["python", "-c", _SPOIL]
    cluster.apply(
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "broken", "namespace": NAMESPACE},
            "spec": job["spec"],
        }
    )
    cluster.here("wait", "job/broken", "--for=condition=Complete", "--timeout=120s")


_SPOIL: Final = """
import json, pathlib, shutil
folder = pathlib.Path("/model/broken")
shutil.copytree("/model/first", folder)
names = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json")
largest = max(names, key=lambda path: path.stat().st_size)
content = bytearray(largest.read_bytes())
content[len(content) // 2] ^= 1
largest.write_bytes(content)
"""
