"""heartstream in the cluster, as docs/deployment.md puts it there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Final

from tests.images.engine import ROOT
from tests.k8s.cluster import NAMESPACE, Cluster

LOCAL: Final = ROOT / "k8s/overlays/local"
PRODUCTION: Final = ROOT / "k8s/overlays/production"
ALL: Final = ("statefulset/kafka", "deployment/heartstream-worker", "deployment/heartstream-gateway")


def deploy(cluster: Cluster) -> None:
    """Apply the local overlay, train the first model, and wait until all is ready."""
    cluster.run("apply", "-k", str(LOCAL))
    cluster.here("create", "job", "--from=cronjob/heartstream-train", "first")
    cluster.rolled_out(*ALL)


def serve(cluster: Cluster, model: str) -> None:
    """Apply the local overlay with another model, as an overlay of one's own would."""
    with tempfile.TemporaryDirectory() as folder:
        local = os.path.relpath(LOCAL, Path(folder).resolve())
        (Path(folder) / "kustomization.yaml").write_text(
            f"namespace: {NAMESPACE}\nresources: [{local}]\n"
            "configMapGenerator:\n- name: heartstream-settings\n  behavior: merge\n"
            f"  literals: [HEARTSTREAM_MODEL__PATH={model}]\n"
        )
        cluster.run("apply", "-k", folder)


def spoil_a_model(cluster: Cluster) -> None:
    """Copy the first model to /model/broken and change one byte of its report of numbers, as a bad disk would."""
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
