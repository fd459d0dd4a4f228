"""A schema registry, asked over HTTP: Confluent's interface, which others have as well.

A call blocks, for ten seconds at most. It is made at start, and once for each schema that records name, in a thread of
its own; a number that the registry does not know is asked for again half a minute later. While it is away, a worker
that meets a new schema stops, and has lost nothing.
"""

from __future__ import annotations

import time
from base64 import b64encode
from typing import Final, TypeVar
from urllib.error import HTTPError
from urllib.parse import quote

import msgspec

from runtime.http import fetch
from runtime.settings import SchemaRegistry as Settings
from schemas.errors import DependencyError, SettingsError

_MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
_ATTEMPTS: Final = 3
_CALL_SECONDS: Final = 3.0
_PAUSE_SECONDS: Final = 0.5
_NO_REDIRECT: Final = 400
_NOT_FOUND: Final = 404
_TRY_AGAIN: Final = 500
_LARGEST_ANSWER: Final = 10_000_000


_Answer = TypeVar("_Answer")


class Registered(msgspec.Struct, frozen=True):
    """A schema as the registry holds it; of Avro, where its type is not told."""

    schema: str
    schema_type: str = msgspec.field(name="schemaType", default="AVRO")


class _Numbered(msgspec.Struct):
    id: int


class SchemaRegistry:
    """Knows schemas by number, and numbers by schema."""

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError where the URL is none of HTTP's. Asks nothing yet."""
        if not settings.url.startswith(("http://", "https://")):
            raise SettingsError(("HEARTSTREAM_SCHEMA_REGISTRY__URL is no URL such as http://registry:8081",))
        self._url = settings.url.rstrip("/")
        self._headers = {"Content-Type": _MEDIA_TYPE, "Accept": f"{_MEDIA_TYPE}, application/json"}
        if settings.username:
            credentials = b64encode(f"{settings.username}:{settings.password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {credentials}"

    def schema(self, number: int) -> Registered | None:
        """Return the schema of a number, None where the registry knows none. Raises DependencyError."""
        return self._ask(f"/schemas/ids/{number}", Registered)

    def number(self, subject: str, schema: str) -> int:
        """Return the number of a JSON Schema of this subject, which is registered if it is not. DependencyError."""
        body = msgspec.json.encode({"schema": schema, "schemaType": "JSON"})
        place = f"/subjects/{quote(subject, safe='')}"
        # To look it up takes no right to write.
        found = self._ask(place, _Numbered, body) or self._ask(f"{place}/versions", _Numbered, body)
        if found is None:
            raise DependencyError("the schema registry takes no schema at its URL: is its path right?")
        return found.id

    def _ask(self, path: str, kind: type[_Answer], body: bytes | None = None) -> _Answer | None:
        """Ask until there is an answer, three times at most; None is that what is asked for is not there."""
        reason = ""
        for attempt in range(_ATTEMPTS):
            time.sleep(_PAUSE_SECONDS if attempt else 0)
            try:
                answer = fetch(
                    self._url + path,
                    body=body,
                    headers=self._headers,
                    seconds=_CALL_SECONDS,
                    largest=_LARGEST_ANSWER,
                )
                return msgspec.json.decode(answer, type=kind)
            except HTTPError as refusal:
                refusal.close()
                if refusal.code == _NOT_FOUND:
                    return None
                reason = f"HTTP {refusal.code}"
                if refusal.code < _NO_REDIRECT:
                    reason += (
                        ", and redirects are not followed: HEARTSTREAM_SCHEMA_REGISTRY__URL has to name where it leads"
                    )
                if refusal.code < _TRY_AGAIN:
                    break
            except OSError as failure:
                reason = type(failure).__name__
            except (msgspec.MsgspecError, UnicodeDecodeError):
                reason = "its answer cannot be read"
                break
        raise DependencyError(f"the schema registry does not answer as one: {reason}")
