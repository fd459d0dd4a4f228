"""The manifests of the tutorial "to Kubernetes" are those that it shows, and its overlay can be built."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml

from runtime.settings import Settings
from tests.k8s.manifests import builder, built, built_at, own_overlay
from tests.support.code_blocks import ROOT, blocks

SHOWN = list(blocks(ROOT / "docs/tutorials/kubernetes.md"))
pytestmark = pytest.mark.skipif(builder() is None, reason="needs kubectl or kustomize")


def test_the_overlay_has_the_objects_that_are_counted() -> None:
    """Step 1, as `uniq -c` prints them."""
    counts = Counter(each["kind"] for each in built("local"))
    (shown,) = (block.text for block in SHOWN if block.language == "text")
    assert shown == "".join(f"{count:7} kind: {kind}\n" for kind, count in sorted(counts.items()))


def test_the_users_overlay_changes_what_it_says() -> None:
    """Step 5: six workers, and five reasons."""
    (mine,) = (yaml.safe_load(block.text) for block in SHOWN if block.language == "yaml")
    assert mine["resources"] == ["../heartstream/k8s/overlays/local"]
    with own_overlay("local", replicas=mine["replicas"], configMapGenerator=mine["configMapGenerator"]) as folder:
        objects = built_at(folder)
    replicas = {each["metadata"]["name"]: each["spec"]["replicas"] for each in objects if each["kind"] == "Deployment"}
    assert replicas == {"heartstream-worker": 6, "heartstream-gateway": 3}
    (data,) = (each["data"] for each in objects if each["metadata"]["name"].startswith("heartstream-settings"))
    found = Settings.from_mapping({name: value for name, value in data.items() if not name.endswith("_FILE")})
    assert found.score.reasons == 5
