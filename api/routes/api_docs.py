"""API documentation: `/openapi.json`, `/asyncapi.json`, and `/docs` to read and try it in a browser."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
from aiohttp import web

from api.responses import static_response
from schemas.generate import asyncapi, openapi
from schemas.tables.feature_table import FeatureTable

_VENDOR: Final = Path(__file__).parent.parent / "vendor"
_TYPES: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}
_DAY: Final = "public, max-age=86400"
_START: Final = b"""
window.ui = SwaggerUIBundle({ url: "openapi.json", dom_id: "#docs", deepLinking: true, tryItOutEnabled: true });
"""
_PAGE: Final = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>heartstream: HTTP interface</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<main id="docs">
<noscript>This page needs JavaScript; see also <a href="openapi.json">openapi.json</a>.</noscript>
</main>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI sets styles from its script."""


def routes(table: FeatureTable, *, cds_hooks: bool = False) -> list[web.RouteDef]:
    """Return the routes of the documents, for records of a feature table, and of the page that renders them.

    OpenAPI describes CDS Hooks only if the gateway has it.
    """
    number = version("heartstream")
    documents = {
        "openapi": openapi.document(number, table, cds_hooks=cds_hooks),
        "asyncapi": asyncapi.document(number, table),
    }
    return [
        *(
            web.get(f"/{name}.json", static_response(msgspec.json.encode(document), "application/json", {}))
            for name, document in documents.items()
        ),
        web.get("/docs", static_response(_PAGE, "text/html", {"Content-Security-Policy": _POLICY})),
        web.get("/docs/start.js", static_response(_START, "text/javascript", {})),
        *(
            web.get(
                f"/docs/{name}",
                static_response(
                    (_VENDOR / f"{name}.gz").read_bytes(), kind, {"Content-Encoding": "gzip", "Cache-Control": _DAY}
                ),
            )
            for name, kind in _TYPES.items()
        ),
    ]
