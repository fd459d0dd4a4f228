"""All generated documents of the contract, as committed in `schemas/json/`. A test fails if those are not current."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from schemas.generate import asyncapi, json_schema, openapi

FOLDER: Final = Path(__file__).parent.parent / "json"


def documents() -> dict[str, dict[str, Any]]:
    """Return every document, by file name."""
    number = version("heartstream")
    return {
        **json_schema.documents(),
        "openapi.json": openapi.document(number),
        "asyncapi.json": asyncapi.document(number),
    }


def render(document: dict[str, Any]) -> str:
    """Format a document as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
