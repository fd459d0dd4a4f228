"""The cluster under test, with the images in it and a volume for models."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from heartstream.brokers import IMAGE as KAFKA
from schemas.errors import DependencyError
from tests.images.build import build, build_options, named
from tests.k8s import clients
from tests.k8s.cluster import NAMESPACE, Cluster
from tests.support.docker_cli import ROOT, docker_answers, log_progress, run

IMAGES: Final = named("local")
_OWN: Final = ROOT.parent / "shared/tools/k8s/cluster.sh"
_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_VOLUME: Final = Path("/var/lib/heartstream-model")
_USER: Final = 10001
_LOAD_SECONDS: Final = 900
_BUILD_SECONDS: Final = 1800
"""For a cluster that compiles Kubernetes first."""


def build_images() -> None:
    """Build the three images with Docker."""
    options = build_options()
    for image in IMAGES:
        log_progress(f"building {image.name}")
        build(image, options)


def check_tools(kubeconfig: Path | None, *, builds: bool) -> None:
    """Raise DependencyError, before anything slow begins, if a prerequisite of the run is missing."""
    if builds and not docker_answers():
        raise DependencyError("no Docker engine answers, and images have to be built: --no-build uses those there are")
    if kubeconfig is None:
        if not _OWN.exists():
            raise DependencyError("no cluster: give --kubeconfig, and --load to bring images there (see --help)")
        return
    if not kubeconfig.is_file():
        raise DependencyError(f"there is no file {kubeconfig}: --kubeconfig names the file that kubectl goes by")
    cluster = Cluster(kubeconfig)
    classes = cluster.get("storageclasses")["items"]
    volumes = cluster.get("persistentvolumes")["items"]
    if not any(each["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true" for each in classes) and not any(
        volume.get("status", {}).get("phase") == "Available" for volume in volumes
    ):
        raise DependencyError(
            "the cluster has no default StorageClass and no volume that is available, so nobody would provide the "
            f"volume for models: kubectl annotate storageclass NAME {_DEFAULT_CLASS}=true, with one of: "
            f"{', '.join(each['metadata']['name'] for each in classes) or '(there is none: install a provisioner)'}"
        )


@contextmanager
def own_cluster(*, keep: bool) -> Iterator[Cluster]:
    """Start a cluster of one node on this machine, with the images and a volume; stop it afterwards."""
    script, state = ["bash", str(_OWN)], Path("/var/lib/kind-of-k8s")
    run(*script, "down", seconds=_LOAD_SECONDS)
    log_progress("starting a cluster")
    run(*script, "up", seconds=_BUILD_SECONDS)
    try:
        log_progress("loading images")
        run(*script, "load", *_to_load(), seconds=_LOAD_SECONDS)
        cluster = Cluster(state / "admin.conf")
        _make_volume(cluster)
        yield cluster
    finally:
        if not keep:
            run(*script, "down", seconds=_LOAD_SECONDS)


@contextmanager
def given_cluster(kubeconfig: Path, load: str) -> Iterator[Cluster]:
    """Use a running cluster that provides volumes for claims; remove the created objects afterwards."""
    cluster = Cluster(kubeconfig)
    for image in _to_load() if load else ():
        log_progress(f"loading {image}")
        run(*load.split(), image, seconds=_LOAD_SECONDS)
    try:
        yield cluster
    finally:
        cluster.run("delete", "namespace", "--ignore-not-found", NAMESPACE, *clients.NAMESPACES)


def _to_load() -> list[str]:
    return [*(image.name for image in IMAGES), KAFKA]


def _make_volume(cluster: Cluster) -> None:
    """Create the volume that a storage class would create, writable for the images' user."""
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
