"""JSON Lines for Schemathesis."""

from __future__ import annotations

import json

import schemathesis

LINES = "application/x-ndjson"


@schemathesis.serializer(LINES)
def _one_line(_context, value):
    return value if isinstance(value, bytes) else json.dumps(value).encode()


@schemathesis.deserializer(LINES)
def _first_line(_context, response):
    text = response.content.decode().partition("\n")[0]
    return json.loads(text) if text else {"index": 0, "errors": []}
