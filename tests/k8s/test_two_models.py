"""Two models side by side, as docs/own-data.md configures them, share no topic, group, port or object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml

from runtime.settings import Settings
from tests.k8s.manifests import builder, built, built_at, own_overlay

ROOT: Final = Path(__file__).parents[2]
_BLOCKS: Final = re.findall(
    r"^```yaml\n(.+?)^```", (ROOT / "docs/own-data.md").read_text("utf-8"), re.DOTALL | re.MULTILINE
)
COMPOSE, OVERLAY = (yaml.safe_load(block) for block in _BLOCKS)


def settings_of(service: Mapping[str, Any]) -> Settings:
    return Settings.from_mapping(service["environment"])


def test_the_services_of_a_second_model_stay_apart() -> None:
    """Each has valid settings, with topics and a group of its own, on the broker of the first."""
    theirs = yaml.safe_load((ROOT / "compose/compose.yaml").read_text("utf-8"))["services"]
    ours = COMPOSE["services"]
    first = settings_of(theirs["worker"])
    for name, service in ours.items():
        second = settings_of(service)
        assert second.kafka == first.kafka, name
        assert {*msgspec.structs.astuple(second.topics)} & {*msgspec.structs.astuple(first.topics)} == set()
        assert second.worker.group_id != first.worker.group_id
        assert service["image"] in {each.get("image") for each in theirs.values()}
        assert {*service["depends_on"]} <= {*ours, *theirs}
    ports = [port.split(":")[1] for each in (*ours.values(), *theirs.values()) for port in each.get("ports", ())]
    assert len(ports) == len({*ports})
    assert ours.keys() & theirs.keys() == set()


@pytest.mark.skipif(builder() is None, reason="needs kubectl or kustomize")
def test_the_namespace_of_a_second_model_has_everything() -> None:
    """Every object of the first is there once more, in the other namespace, with the other settings and host."""
    more = {key: OVERLAY[key] for key in ("namespace", "configMapGenerator", "patches")}
    assert OVERLAY["resources"] == ["../heartstream/k8s/overlays/local"]
    with own_overlay("local", **more) as folder:
        objects = built_at(folder)
    assert {each["metadata"].get("namespace") for each in objects if each["kind"] != "Namespace"} == {"kidney"}
    assert [each["metadata"]["name"] for each in objects if each["kind"] == "Namespace"] == ["kidney"]
    assert sorted(each["kind"] for each in objects) == sorted(each["kind"] for each in built("local"))
    (data,) = (each["data"] for each in objects if each["metadata"]["name"].startswith("heartstream-settings"))
    found = Settings.from_mapping({name: value for name, value in data.items() if not name.endswith("_FILE")})
    assert found.model.path == "/model/kidney"
    (ingress,) = (each for each in objects if each["kind"] == "Ingress")
    assert ingress["spec"]["rules"][0]["host"] in found.gateway.allowed_hosts
