"""The outcomes topic: decoder and JSON Schema agree on every example."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from schemas.codec import decode_known_outcome
from schemas.generate.documents import FOLDER
from schemas.records import KnownOutcome

EXAMPLES = Path("schemas/examples/outcomes/v1")
SCHEMA = jsonschema.Draft202012Validator(json.loads((FOLDER / "known-outcome.schema.json").read_bytes()))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("accepted/*.json")), ids=lambda path: path.stem)
def test_accepted_examples_are_valid(path: Path) -> None:
    """A producer that validates against the schema can send them."""
    known = decode_known_outcome(path.read_bytes())
    assert isinstance(known, KnownOutcome)
    assert [error.message for error in SCHEMA.iter_errors(json.loads(path.read_bytes()))] == []
    assert msgspec.json.decode(msgspec.json.encode(known)) == json.loads(path.read_bytes())


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("rejected/*.json")), ids=lambda path: path.stem)
def test_rejected_examples_are_invalid(path: Path) -> None:
    """By the decoder and by the schema."""
    with pytest.raises(msgspec.MsgspecError):
        decode_known_outcome(path.read_bytes())
    assert [error.message for error in SCHEMA.iter_errors(json.loads(path.read_bytes()))] != []
