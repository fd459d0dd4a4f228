"""All generated documents of the contract, as committed in `schemas/json/`. A test fails if those are not current."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from schemas.generate import asyncapi, json_schema, openapi
from schemas.tables.builtin import UCI_HEART

FOLDER: Final = Path(__file__).parent.parent / "json"


def documents() -> dict[str, dict[str, Any]]:
    """Return every document for the built-in feature table, by file name."""
    number = version("heartstream")
    return {
        **json_schema.documents(UCI_HEART),
        "openapi.json": openapi.document(number, UCI_HEART),
        "asyncapi.json": asyncapi.document(number, UCI_HEART),
    }


def render(document: dict[str, Any]) -> str:
    """Format a document as it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
