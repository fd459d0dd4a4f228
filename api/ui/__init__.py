"""The web page at `/`: score a patient, watch the stream, read the model card.

The files in this folder are served as they are: plain HTML, CSS and JavaScript without a build step. The page loads
nothing from other servers, and its policy allows no inline script or style. It contacts only this gateway, and the
servers from which it may be launched (SMART App Launch).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web

from api.protocols.smart import SmartLaunch
from api.responses import static_response
from schemas.fhir.mapping import FhirMapping
from schemas.tables.feature_table import Feature, FeatureTable

_FOLDER: Final = Path(__file__).parent
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {origins}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


def routes(table: FeatureTable, smart: SmartLaunch, *, live: bool) -> Iterator[web.RouteDef]:
    """Yield the routes of the page, its files and its data. `live` enables the live stream."""
    policy = _POLICY.format(origins=" ".join(("'self'", *smart.origins)))
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"}
    page = static_response((_FOLDER / "index.html").read_bytes(), "text/html", headers)
    yield web.get("/", page)
    if smart.issuers:
        yield web.get("/launch", page)
    for path in sorted(_FOLDER.iterdir()):
        if path.suffix in _TYPES:
            yield web.get(f"/page/{path.name}", static_response(path.read_bytes(), _TYPES[path.suffix], headers))
    data = {"/fields": fields(table), "/stream": {"live": live}, "/smart": smart}
    for name, content in data.items():
        yield web.get(name, static_response(msgspec.json.encode(content), "application/json", headers))


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
    notes = feature.notes or {}
    return {
        "name": feature.name,
        "meaning": feature.meaning,
        "kind": feature.kind,
        "unit": feature.unit,
        "whole": feature.whole,
        "required": feature.required,
        "limits": feature.limits,
        "other_units": [{"unit": unit, "factor": factor} for unit, factor in feature.ucum.items() if factor != 1],
        "codes": [
            {"code": sent, "meaning": meaning, "note": notes.get(str(sent))}
            for sent, (_, meaning) in zip(feature.sent, feature.codes, strict=True)
        ],
    }
