"""The overlays as kustomize builds them: what the tests without a cluster look at."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.docker_cli import ROOT

BESIDE: Final = {"local": ("shadow", "outcomes"), "production": ("shadow", "outcomes", "strimzi-beside")}
"""What runs beside the worker, as an overlay of one's own adds it."""
OVERLAYS: Final = ("local", "production", "local with others", "production with others")
"""The two, and each with what may run beside the worker."""
_PODS_OF: Final = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}

Document = dict[str, Any]


def builder() -> list[str] | None:
    """Return the command that builds a kustomization, None where there is none on this machine."""
    if path := shutil.which("kustomize"):
        return [path, "build"]
    path = shutil.which("kubectl")
    return [path, "kustomize"] if path else None


@functools.cache
def built(overlay: str) -> tuple[Document, ...]:
    """Return the objects of an overlay."""
    name, _, others = overlay.partition(" with ")
    if not others:
        return built_at(ROOT / "k8s/overlays" / name)
    with own_overlay(name, *BESIDE[name]) as folder:
        return built_at(folder)


@contextmanager
def own_overlay(overlay: str, *components: str, **more: object) -> Iterator[Path]:
    """Make an overlay of one's own on one of ours, as docs/deployment.md says; `more` is what stands in it besides."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        ours = Path(os.path.relpath(ROOT / "k8s", folder))
        listed = [str(ours / "components" / component) for component in components]
        mine = {"namespace": "heartstream", "resources": [str(ours / "overlays" / overlay)], "components": listed}
        (folder / "kustomization.yaml").write_text(yaml.safe_dump({**mine, **more}))
        yield folder


def built_at(folder: Path) -> tuple[Document, ...]:
    """Return the objects of a kustomization."""
    command = builder()
    assert command is not None
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=120, check=True)
    return tuple(document for document in yaml.safe_load_all(done.stdout) if document)


def of_kind(overlay: str, *kinds: str) -> list[Document]:
    """Return the objects of these kinds."""
    return [document for document in built(overlay) if document["kind"] in kinds]


def named(overlay: str, kind: str, name: str) -> Document:
    """Return the one object of this kind and name."""
    (found,) = (document for document in of_kind(overlay, kind) if document["metadata"]["name"] == name)
    return found


def pod_templates(overlay: str) -> Iterator[tuple[str, Document]]:
    """Yield the template of each kind of pod, with the name of what makes the pods."""
    for document in of_kind(overlay, *_PODS_OF):
        template = functools.reduce(lambda node, key: node[key], _PODS_OF[document["kind"]], document)
        yield f"{document['kind']}/{document['metadata']['name']}", template


def containers(template: Document) -> list[Document]:
    """Return all containers of a pod, those that come first included."""
    spec = template["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def selects(selector: Document, labels: Document) -> bool:
    """Say if a label selector takes labels."""
    equal = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return equal and all(_matches(rule, labels) for rule in selector.get("matchExpressions", ()))


def _matches(rule: Document, labels: Document) -> bool:
    if rule["operator"] != "In":
        raise NotImplementedError(rule["operator"])
    return labels.get(rule["key"]) in rule["values"]
