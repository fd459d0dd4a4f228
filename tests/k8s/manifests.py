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
SERVING: Final = ("worker", "gateway")
OPTIONAL_LOCALLY: Final = OPTIONAL["local"]
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


def permanent_components(overlay: str) -> tuple[str, ...]:
    """Return the components of heartstream that run permanently."""
    return (*SERVING, *OPTIONAL_LOCALLY) if overlay.endswith("with others") else SERVING


def own_templates(overlay: str) -> dict[str, Document]:
    """Return heartstream's own pod templates, by component."""
    labelled = {
        template["metadata"]["labels"].get("app.kubernetes.io/component"): template
        for _, template in pod_templates(overlay)
    }
    return {component: labelled[component] for component in (*permanent_components(overlay), "training")}


def selected_components(policy: Document, overlay: str) -> set[str]:
    """Return the components of heartstream that a network policy selects."""
    labels = {component: template["metadata"]["labels"] for component, template in own_templates(overlay).items()}
    return {component for component in labels if selects(policy["podSelector"], labels[component])}


def environment(overlay: str, template: Document, folder: Path) -> dict[str, str]:
    """Return the environment of the first container; mounted secrets are files in `folder`."""
    container = template["spec"]["containers"][0]
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found |= named(overlay, "ConfigMap", source["configMapRef"]["name"])["data"]
    found |= {entry["name"]: entry["value"] for entry in container.get("env", ()) if "value" in entry}
    mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
    for name, value in found.items():
        if name.endswith("_FILE"):
            assert any(value.startswith(f"{mount}/") for mount in mounts), f"{name} is not mounted"
            secret = folder / Path(value).name
            secret.write_text("a secret of good length")
            found[name] = str(secret)
    return found
