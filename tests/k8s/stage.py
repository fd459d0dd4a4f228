"""Where the laws are looked at: a cluster, with the images in it and a volume for models."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from schemas.errors import DependencyError
from tests.k8s import clients
from tests.k8s.cluster import NAMESPACE, Cluster
from tests.k8s.deployment import ROOT

IMAGES: Final = ("heartstream-worker:local", "heartstream-gateway:local", "heartstream-train:local")
KAFKA: Final = "apache/kafka:4.1.0"
_OWN: Final = ROOT.parent / "shared/tools/k8s/cluster.sh"
_VOLUME: Final = Path("/var/lib/heartstream-model")
_USER: Final = 10001
_STARTED: Final = time.monotonic()


def tell(text: str) -> None:
    """Say on standard error how far it is."""
    sys.stderr.write(f"{time.monotonic() - _STARTED:6.0f} s  {text}\n")


def build_images() -> None:
    """Build the three images with Docker. HEARTSTREAM_DOCKER_BUILD holds further options of `docker build`."""
    options = os.environ.get("HEARTSTREAM_DOCKER_BUILD", "").split()
    for image in IMAGES:
        tell(f"building {image}")
        target = image.removeprefix("heartstream-").removesuffix(":local")
        command = ["docker", "build", "-q", *options, "-f", "compose/Dockerfile", "--target", target, "-t", image, "."]
        _do(command)


@contextmanager
def own_cluster(*, keep: bool) -> Iterator[Cluster]:
    """Start a cluster of one node on this machine, with the images and a volume; stop it afterwards."""
    if not _OWN.exists():
        raise DependencyError("no cluster: give --kubeconfig, and --load to bring images there (see --help)")
    script, state = ["bash", str(_OWN)], Path("/var/lib/kind-of-k8s")
    _do([*script, "down"])
    tell("starting a cluster")
    _do([*script, "up"])
    try:
        tell("loading images")
        _do([*script, "load", *IMAGES, KAFKA])
        cluster = Cluster(state / "admin.conf")
        _make_volume(cluster)
        yield cluster
    finally:
        if not keep:
            _do([*script, "down"])


@contextmanager
def given_cluster(kubeconfig: Path, load: str) -> Iterator[Cluster]:
    """Use a cluster that runs, which gives volumes to whoever claims them; remove what was made afterwards."""
    cluster = Cluster(kubeconfig)
    for image in (*IMAGES, KAFKA) if load else ():
        tell(f"loading {image}")
        _do([*load.split(), image])
    try:
        yield cluster
    finally:
        cluster.run("delete", "namespace", "--ignore-not-found", NAMESPACE, *clients.NAMESPACES)


def _make_volume(cluster: Cluster) -> None:
    """Make the volume that a storage class would make, writable for the images' user."""
    shutil.rmtree(_VOLUME, ignore_errors=True)
    _VOLUME.mkdir()
    os.chown(_VOLUME, _USER, _USER)
    spec = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "hostPath": {"path": str(_VOLUME)},
        "claimRef": {"namespace": NAMESPACE, "name": "heartstream-model"},
    }
    metadata = {"name": "heartstream-model"}
    cluster.apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": metadata, "spec": spec})


def _do(command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    if done.returncode != 0:
        raise DependencyError(f"{' '.join(command)}: {done.stderr.strip()[-1000:]}")
