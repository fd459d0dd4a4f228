"""The web page at `/`: score a patient, watch the stream, read the model card.

The files in this folder are served as they are: plain HTML, CSS and JavaScript without a build step. The page loads
nothing from other servers, and its policy allows no inline script or style.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from api.responses import static_response
from schemas.fhir.mapping import FhirMapping
from schemas.tables.feature_table import Feature, FeatureTable

_FOLDER: Final = Path(__file__).parent
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
_HEADERS: Final = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}


def routes(table: FeatureTable, *, live: bool) -> Iterator[web.RouteDef]:
    """Yield the routes of the page, its files and its data. `live` enables the live stream."""
    yield web.get("/", static_response((_FOLDER / "index.html").read_bytes(), "text/html", _HEADERS))
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in _TYPES:
            yield web.get(f"/page/{path.name}", static_response(path.read_bytes(), _TYPES[path.suffix], _HEADERS))
    yield web.get("/fields", static_response(msgspec.json.encode(fields(table)), "application/json", _HEADERS))
    yield web.get("/stream", static_response(msgspec.json.encode({"live": live}), "application/json", _HEADERS))


def fields(table: FeatureTable) -> dict[str, Any]:
    """Return the feature table as the page needs it: each field, code and example as records have it."""
    outcome, mapping = table.outcome, FhirMapping.of(table)
    return {
        "feature_table": table.identifier,
        "title": table.title,
        "outcome": {
            "meaning": outcome.meaning,
            "horizon": outcome.horizon,
            "text": outcome.text,
            "event": outcome.event,
        },
        "groups": [
            {name: [table.by_name[name].as_sent(code) for code in codes] for name, codes in group.where.items()}
            for group in table.groups
        ],
        "sections": [{"title": title, "fields": names} for title, names in table.form.sections.items()],
        "examples": [{"title": title, "values": values} for title, values in _examples(table).items()],
        "fields": [_described(feature) for feature in table.features],
        "fhir": {"populate": mapping.populate_path.removeprefix("/")} if mapping else None,
    }


def _examples(table: FeatureTable) -> Mapping[str, Mapping[str, Any]]:
    """Return the examples of the form, by title; by default that of the table."""
    if table.form.examples:
        return table.form.examples
    return {"Example": {name: value for name, value in table.example.items() if name in table.by_name}}


def _described(feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "meaning": feature.meaning,
        "kind": feature.kind,
        "unit": feature.unit,
        "whole": feature.whole,
        "required": feature.required,
        "limits": feature.limits,
        "codes": [
            {"code": sent, "meaning": meaning} for sent, (_, meaning) in zip(feature.sent, feature.codes, strict=True)
        ],
    }
