"""docs/schemas.md: the documents of the contract as tables, generated from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "schemas.md"
_INTERFACES: Final = {"openapi.json": "the HTTP interface (OpenAPI 3.1)", "asyncapi.json": "the topics (AsyncAPI 3.0)"}
_LIMITS: Final = {"minimum": "from", "maximum": "to", "maxLength": "of at most", "pattern": "like"}
_HEAD: Final = """# Schemas

The contract on the wire, for the built-in feature table. `python -m schemas.generate` writes the documents and this
page from the code; a gateway serves [`/openapi.json` and `/asyncapi.json`](http.md) for the table of its own model.
The number at the end of an identifier changes when a reader of the old version could fail.

| document | describes |
|---|---|
"""


def render(documents: Mapping[str, dict[str, Any]]) -> str:
    """Return the page."""
    schemas = {name: each for name, each in documents.items() if name not in _INTERFACES}
    described = {name: f"`{each['$id']}`: {_kind({'$ref': each['title']})}" for name, each in schemas.items()}
    rows = [f"| [{name}](../schemas/json/{name}) | {text} |\n" for name, text in {**described, **_INTERFACES}.items()]
    parts = {name: part for each in schemas.values() for name, part in each.get("$defs", {}).items()}
    return "".join(
        (
            *(_HEAD, *rows),
            *(line for each in schemas.values() for line in _section("##", each)),
            *("\n## Parts\n", *(line for each in parts.values() for line in _section("###", each))),
            *_topics(documents["asyncapi.json"]),
            *_routes(documents["openapi.json"]),
        )
    )


def _section(level: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield the heading, the description and the members or values of a schema."""
    yield f"\n{level} {schema['title']}\n\n{schema['description']}\n\n"
    if "enum" in schema:
        yield f"One of {', '.join(f'`{each}`' for each in schema['enum'])}.\n"
        return
    yield "| member | required | value |\n|---|---|---|\n"
    for name, value in schema["properties"].items():
        described = f": {value['description']}" if "description" in value else ""
        yield f"| `{name}` | {'yes' if name in schema['required'] else 'no'} | {_kind(value)}{described} |\n"


def _kind(value: Mapping[str, Any]) -> str:
    """Describe the values that a schema allows."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in value:
        notes = (f" ({each['description']})" if "description" in each else "" for each in value["anyOf"])
        return " or ".join(f"{_kind(each)}{note}" for each, note in zip(value["anyOf"], notes, strict=True))
    if "enum" in value:
        return " or ".join(f"`{each}`" for each in value["enum"])
    if "prefixItems" in value:
        return f"array of {len(value['prefixItems'])}, each {_kind(value['prefixItems'][0])}"
    if "items" in value:
        return f"array of {_kind(value['items'])}"
    limits = (f"{word} `{value[key]}`" for key, word in _LIMITS.items() if key in value)
    return " ".join((value.get("type", "as in its [coding](formats.md#codings)"), *limits))


def _topics(document: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Topics\n\n| topic | message | what |\n|---|---|---|\n"
    for each in document["channels"].values():
        (message,) = each["messages"]
        yield f"| `{each['address']}` | [{message}](#{message.lower()}) | {each['description']} |\n"


def _routes(document: Mapping[str, Any]) -> Iterator[str]:
    yield "\n## Routes\n\n| route | what |\n|---|---|\n"
    for path, operations in document["paths"].items():
        for method, each in operations.items():
            yield f"| `{method.upper()} {path}` | {each['summary']} |\n"
