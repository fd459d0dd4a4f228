"""A client for schema registries with Confluent's HTTP interface.

A call blocks for at most ten seconds. Calls are made at start and, in a thread, once for each schema ID in the records;
an unknown ID is looked up again after 30 seconds. If the registry is down, a worker that meets a new schema stops
without losing records.
"""

from __future__ import annotations

import time
from base64 import b64encode
from typing import Final, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote

import msgspec

from runtime.http import fetch, reason_of, without_password
from runtime.settings import SchemaRegistry as Settings
from runtime.waiting import waiting_for
from schemas.errors import DependencyError, SettingsError

_MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_ATTEMPTS: Final = 3
_CALL_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.5
_BAD_REQUEST: Final = 400
_NOT_FOUND: Final = 404
_SERVER_ERROR: Final = 500
_MAX_RESPONSE_BYTES: Final = 10_000_000


_Response = TypeVar("_Response")


class Registered(msgspec.Struct, frozen=True):
    """A registered schema; its type is Avro unless stated."""

    schema: str
    schema_type: str = msgspec.field(name="schemaType", default="AVRO")


class _Numbered(msgspec.Struct):
    id: int


class SchemaRegistry:
    """Looks up schemas by ID, and the IDs of schemas."""

    def __init__(self, settings: Settings) -> None:
        """Make no request yet. Raises SettingsError for a URL that is not HTTP or HTTPS."""
        if not settings.url.startswith(("http://", "https://")):
            raise SettingsError(("HEARTSTREAM_SCHEMA_REGISTRY__URL is not an HTTP URL, such as http://registry:8081",))
        self._url = settings.url.rstrip("/")
        self._headers = {"Content-Type": _MEDIA_TYPE, "Accept": f"{_MEDIA_TYPE}, application/json"}
        if settings.username:
            credentials = b64encode(f"{settings.username}:{settings.password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {credentials}"

    def schema(self, number: int) -> Registered | None:
        """Return the schema with an ID, or None if the registry does not have it. Raises DependencyError."""
        return self._request(f"/schemas/ids/{number}", Registered)

    def number(self, subject: str, schema: str) -> int:
        """Return the ID of a subject's JSON Schema, registering it if necessary. Raises DependencyError."""
        body = msgspec.json.encode({"schema": schema, "schemaType": "JSON"})
        path = f"/subjects/{quote(subject, safe='')}"
        with waiting_for(f"the schema registry at {without_password(self._url)}"):
            # A lookup does not need write permission.
            found = self._request(path, _Numbered, body) or self._request(f"{path}/versions", _Numbered, body)
        if found is None:
            raise DependencyError("the schema registry accepts no schema at its URL: check its path")
        return found.id

    def _request(self, path: str, kind: type[_Response], body: bytes | None = None) -> _Response | None:
        """Send a request, with up to three attempts; None if the resource does not exist."""
        reason = ""
        for attempt in range(_ATTEMPTS):
            time.sleep(_PAUSE_SECONDS if attempt else 0)
            try:
                answer = fetch(
                    self._url + path,
                    body=body,
                    headers=self._headers,
                    seconds=_CALL_SECONDS,
                    largest=_MAX_RESPONSE_BYTES,
                )
                return msgspec.json.decode(answer, type=kind)
            except HTTPError as refusal:
                refusal.close()
                if refusal.code == _NOT_FOUND:
                    return None
                reason = f"HTTP {refusal.code}"
                if refusal.code < _BAD_REQUEST:
                    reason += ", and redirects are not followed: set HEARTSTREAM_SCHEMA_REGISTRY__URL to their target"
                if refusal.code < _SERVER_ERROR:
                    break
            except OSError as failure:
                reason = reason_of(failure)
            except (msgspec.MsgspecError, UnicodeDecodeError):
                reason = "the response is not that of a schema registry"
                break
        place = f"{without_password(self._url)} (HEARTSTREAM_SCHEMA_REGISTRY__URL)"
        raise DependencyError(f"the schema registry at {place} does not do its part: {reason}")
