"""The contract as documents: JSON Schemas, OpenAPI, AsyncAPI, generated from the definitions in this room.

`python -m schemas.documents` writes them to `schemas/json/`; a test fails when the committed files are not current.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from schemas import asyncapi, jsonschema, openapi

FOLDER: Final = Path(__file__).parent / "json"


def documents() -> dict[str, dict[str, Any]]:
    """Return every document, by file name."""
    number = version("heartstream")
    return {
        **jsonschema.documents(),
        "openapi.json": openapi.document(number),
        "asyncapi.json": asyncapi.document(number),
    }


def render(document: dict[str, Any]) -> str:
    """Write a document the one way in which it is committed."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write all documents to `schemas/json/`."""
    FOLDER.mkdir(exist_ok=True)
    for name, document in documents().items():
        (FOLDER / name).write_text(render(document), encoding="utf-8")
        sys.stdout.write(f"wrote schemas/json/{name}\n")


if __name__ == "__main__":
    main()
