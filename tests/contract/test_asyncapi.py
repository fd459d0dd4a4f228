"""The AsyncAPI document against the specification's JSON Schema."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas import topics
from schemas.generate.documents import FOLDER

PACKAGE = "@asyncapi/specs@6.11.1"
DOCUMENT = json.loads((FOLDER / "asyncapi.json").read_bytes())


@pytest.fixture(scope="module")
def specification(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """The official JSON Schema of AsyncAPI 3.0.0."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("the specification's schema comes by npm, which is not there")
    folder = tmp_path_factory.mktemp("asyncapi")
    done = subprocess.run([npm, "pack", "--silent", PACKAGE], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("the npm registry cannot be reached")
    with tarfile.open(folder / done.stdout.split()[-1]) as archive:
        member = archive.extractfile("package/schemas/3.0.0-without-$id.json")
        assert member is not None
        found: Mapping[str, Any] = json.load(member)
        return found


def test_asyncapi_is_valid(specification: Mapping[str, Any]) -> None:
    """Including its bindings."""
    check = jsonschema.Draft7Validator(specification)
    assert [f"{list(error.path)}: {error.message[:200]}" for error in check.iter_errors(DOCUMENT)] == []


def test_an_invalid_document_is_detected(specification: Mapping[str, Any]) -> None:
    """The check can fail."""
    broken = {**DOCUMENT, "channels": {"patients": {"adress": "patients"}}}
    assert list(jsonschema.Draft7Validator(specification).iter_errors(broken)) != []


def test_every_topic_is_a_channel() -> None:
    """Patients, scores, the challenger's scores, dead letters and outcomes, by their default names."""
    addresses = [channel["address"] for channel in DOCUMENT["channels"].values()]
    assert addresses == [topics.PATIENTS, topics.SCORES, topics.SHADOW, topics.DEAD_LETTERS, topics.OUTCOMES]


def test_every_header_of_a_dead_letter_is_described() -> None:
    """With a pattern that its values match, also without key, and without timestamp."""
    headers = DOCUMENT["components"]["messages"]["DeadLetter"]["headers"]["properties"]
    assert headers.keys() >= topics.REASON_HEADERS
    assert jsonschema.Draft7Validator(headers[topics.TIMESTAMP_HEADER]).is_valid("-1")
    assert jsonschema.Draft7Validator(headers[topics.KEY_OMITTED_HEADER]).is_valid("")
    assert not jsonschema.Draft7Validator(headers[topics.VALUE_OMITTED_HEADER]).is_valid("x")


def test_every_reference_resolves() -> None:
    """Each message and schema that is referenced exists."""
    for reference in _references(DOCUMENT):
        found: Any = DOCUMENT
        for part in Path(reference.removeprefix("#/")).parts:
            found = found[part]


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [each for value in node.values() for each in _references(value)]
    if isinstance(node, list):
        return [each for value in node for each in _references(value)]
    return []
