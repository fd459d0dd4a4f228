"""Validation of the manifests against the schemas of Kubernetes and of the operators."""

from __future__ import annotations

import functools
import json
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from tests.k8s.manifests import OVERLAYS, Document, builder, built
from tests.support.docker_cli import ROOT

pytestmark = [
    pytest.mark.skipif(builder() is None, reason="needs kubectl or kustomize"),
    pytest.mark.parametrize("overlay", OVERLAYS),
]
_KUBERNETES = "1.37"


@functools.cache
def definitions() -> dict[tuple[str, str], Document]:
    """Return each custom resource's schema by API version and kind, without unknown fields."""
    found = {}
    for path in sorted((ROOT / "tests/k8s/crds").glob("*.json")):
        spec = json.loads(path.read_text())["spec"]
        for version in spec["versions"]:
            if version["served"]:
                name = (f"{spec['group']}/{version['name']}", spec["names"]["kind"])
                found[name] = closed(version["schema"]["openAPIV3Schema"])
    return found


def closed(schema: Any) -> Any:
    """Refuse fields that a schema does not define, as a strict API server does."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {key: closed(value) for key, value in schema.items()}
    is_open = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not is_open:
        kept["additionalProperties"] = False
    if kept.get("x-kubernetes-int-or-string"):
        kept.pop("type", None)
    if str(kept.get("pattern", "")).startswith("^(?i)"):
        kept["pattern"] = "(?i)^" + kept["pattern"].removeprefix("^(?i)")  # as Python writes what Go means
    return kept


def test_objects_match_their_schemas(overlay: str) -> None:
    """Each object has only fields of its kind."""
    custom = definitions()
    for document in built(overlay):
        schema = custom.get((document["apiVersion"], document["kind"]))
        if schema is None:
            kubernetes_validate.validate(document, _KUBERNETES, strict=True)
        else:
            body = {key: value for key, value in document.items() if key != "metadata"}
            jsonschema.validate(body, schema)


def test_a_misspelt_field_is_detected(overlay: str) -> None:
    """A misspelt field is an error in Kubernetes' own kinds and in those of operators."""
    seen = 0
    for document in built(overlay):
        spoilt = {**document, "spec": {**document.get("spec", {}), "replicaz": 3}}
        schema = definitions().get((document["apiVersion"], document["kind"]))
        if schema is not None:
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate({key: value for key, value in spoilt.items() if key != "metadata"}, schema)
            seen += 1
        elif document["kind"] == "Deployment":
            with pytest.raises(kubernetes_validate.ValidationError):
                kubernetes_validate.validate(spoilt, _KUBERNETES, strict=True)
            seen += 1
    assert seen >= 2
