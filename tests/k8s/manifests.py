"""The overlays as kustomize builds them, for the tests that need no cluster."""

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

OPTIONAL: Final = {"local": ("shadow", "outcomes"), "production": ("shadow", "outcomes", "strimzi-beside")}
"""The optional components, as a user's overlay adds them."""
OVERLAYS: Final = ("local", "production", "local with others", "production with others")
"""The two overlays, each alone and with its optional components."""
_PODS_OF: Final = {
    "Deployment": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}

Document = dict[str, Any]


def builder() -> list[str] | None:
    """Return the command that builds a kustomization, or None if there is none on this machine."""
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
    with own_overlay(name, *OPTIONAL[name]) as folder:
        return built_at(folder)


@contextmanager
def own_overlay(overlay: str, *components: str, **more: object) -> Iterator[Path]:
    """Create a user's overlay on one of ours, as docs/deployment.md describes; `more` is its further content."""
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
    """Return the only object of this kind and name."""
    (found,) = (document for document in of_kind(overlay, kind) if document["metadata"]["name"] == name)
    return found


def pod_templates(overlay: str) -> Iterator[tuple[str, Document]]:
    """Yield the template of each kind of pod, with the name of the object that creates the pods."""
    for document in of_kind(overlay, *_PODS_OF):
        template = functools.reduce(lambda node, key: node[key], _PODS_OF[document["kind"]], document)
        yield f"{document['kind']}/{document['metadata']['name']}", template


def containers(template: Document) -> list[Document]:
    """Return all containers of a pod, including init containers."""
    spec = template["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"]]


def selects(selector: Document, labels: Document) -> bool:
    """Whether a label selector matches labels."""
    equal = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    return equal and all(_matches(rule, labels) for rule in selector.get("matchExpressions", ()))


def _matches(rule: Document, labels: Document) -> bool:
    if rule["operator"] != "In":
        raise NotImplementedError(rule["operator"])
    return labels.get(rule["key"]) in rule["values"]
