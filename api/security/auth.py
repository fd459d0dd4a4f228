"""Who asks, and what may they do: API keys, tokens of an identity provider, client certificates.

A caller is named once, by what its request bears: a key or a token comes before the certificate of the connection.
Nobody is told why a credential is no good.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, Protocol

import msgspec
from aiohttp import web

from api.problem_details import RefusalError
from schemas.errors import SettingsError
from schemas.fhir.mapping import OPERATION

PREDICT: Final = "predict"
METRICS: Final = "metrics"
ADMIN: Final = "admin"
SCOPES: Final = (PREDICT, METRICS, ADMIN)
"""`predict` may score, `metrics` may read metrics, `admin` may do all."""
KEY_PREFIX: Final = "hs_"
_KEY_BYTES: Final = 32
_SECRETS: Final = ("Authorization", "X-API-Key")
"""Headers that bear a key or token."""


class Caller(msgspec.Struct, frozen=True):
    """Who asks. `name` stands in the audit trail and in front of a bucket; it is no secret.

    It begins with the kind of credential, as `key:lab-system`: what a token calls its subject is nobody's key.
    """

    name: str
    scopes: frozenset[str]

    def may(self, scope: str | None) -> bool:
        """Say whether it may use what asks for this scope; None asks for none."""
        return scope is None or scope in self.scopes or ADMIN in self.scopes


class Credentials(Protocol):
    """One way of telling who asks."""

    async def caller(self, request: web.BaseRequest) -> Caller | None:
        """Return who asks, None if this way does not tell."""


class ApiKeys:
    """Keys of callers, known by their SHA-256 alone. A key has 256 random bits, so a plain hash cannot be guessed."""

    def __init__(self, lines: str) -> None:
        """Read lines `name:scope,scope:hash`; raises SettingsError, which repeats none of them."""
        self._callers: dict[bytes, Caller] = {}
        problems = []
        for number, line in enumerate(lines.split(), 1):
            name, _, rest = line.partition(":")
            scopes, _, digest = rest.partition(":")
            wanted = frozenset(scopes.split(","))
            if not name or not wanted <= set(SCOPES) or len(digest) != hashlib.sha256().digest_size * 2:
                problems.append(
                    f"HEARTSTREAM_AUTH__API_KEYS: entry {number} is not name:scopes:sha256, "
                    f"with scopes of {', '.join(SCOPES)} (see heartstream api-key)"
                )
                continue
            self._callers[digest.lower().encode()] = Caller(f"key:{name}", wanted)
        if problems:
            raise SettingsError(tuple(problems))

    async def caller(self, request: web.BaseRequest) -> Caller | None:
        """Compare with every key, in a time that does not tell how much of one is right."""
        key = sent_secret(request)
        if key is None or not key.startswith(KEY_PREFIX):
            return None
        digest = hashlib.sha256(key.encode()).hexdigest().encode()
        found = None
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def new_key(name: str, scopes: Sequence[str]) -> tuple[str, str]:
    """Make a key; return it, and the line that lets the gateway know it."""
    key = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    return key, f"{name}:{','.join(scopes)}:{hashlib.sha256(key.encode()).hexdigest()}"


class Certificates:
    """The name in a client certificate, which the TLS layer has verified already; it may predict."""

    def __init__(self, *, is_alone: bool) -> None:
        """Where it is not alone, a request with a key or token is judged by that, good or not."""
        self._is_alone = is_alone

    async def caller(self, request: web.BaseRequest) -> Caller | None:
        """Return the certificate's common name; None where it has none, or several."""
        if not self._is_alone and any(name in request.headers for name in _SECRETS):
            return None
        certificate = request.get_extra_info("peercert") or {}
        subject = certificate.get("subject", ())
        names = [value for part in subject for key, value in part if key == "commonName"]
        return (
            Caller(f"certificate:{names[0]}", frozenset({PREDICT})) if len(names) == 1 and is_name(names[0]) else None
        )


def is_name(text: object) -> bool:
    """Say whether a credential's name for its caller can stand in the audit trail."""
    return isinstance(text, str) and bool(text.strip()) and text.isprintable()


def sent_secret(request: web.BaseRequest) -> str | None:
    """Return the key or token that a request bears: as bearer, as X-API-Key, or as the password of Basic.

    All of them are ASCII. What is not, and may not even be text, is none.
    """
    secret = _sent(request)
    return secret if secret is not None and secret.isascii() else None


def _sent(request: web.BaseRequest) -> str | None:
    kind, _, rest = request.headers.get("Authorization", "").partition(" ")
    match kind.lower():
        case "bearer":
            return rest.strip()
        case "basic":
            try:
                return base64.b64decode(rest, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return None
        case _:
            return request.headers.get("X-API-Key")


CALLER: Final = web.RequestKey("caller", Caller)


def caller_of(request: web.BaseRequest) -> str:
    """Name who asks: the caller that is known, or the address."""
    known: Caller | None = request.get(CALLER)
    return known.name if known is not None else f"address:{request.remote or ''}"


class Gatekeeper:
    """Names the caller of each request by the first credentials that tell. Without any, nobody is asked."""

    def __init__(self, credentials: Iterable[Credentials]) -> None:
        self._credentials = tuple(credentials)

    @property
    def is_open(self) -> bool:
        """Whether nobody is asked."""
        return not self._credentials

    async def authorized(self, request: web.BaseRequest, scope: str | None) -> Caller:
        """Return who asks; raises RefusalError where nothing tells (401), or the caller may not use the scope (403)."""
        for each in self._credentials:
            if (found := await each.caller(request)) is not None:
                break
        else:
            raise RefusalError(HTTPStatus.UNAUTHORIZED, "Tell who you are: by key, token or certificate.")
        if not found.may(scope):
            raise RefusalError(HTTPStatus.FORBIDDEN, "This caller may not use this resource.")
        return found


OPEN: Final = frozenset({"/health", "/health/startup", "/health/live", "/health/ready", "/ping"})
_SCOPES: Final[Mapping[str, str]] = {
    "/predict": PREDICT,
    "/predict/batch": PREDICT,
    "/invocations": PREDICT,
    OPERATION: PREDICT,
    "/v2/models/{model}/infer": PREDICT,
    "/v2/models/{model}/versions/{version}/infer": PREDICT,
    "/stream/events": PREDICT,
    "/metrics": METRICS,
}


class Route(msgspec.Struct, frozen=True):
    """A route: the pattern of its path, whether it is open to everybody, and the scope that it asks for.

    Only health is open. Where the scope is None, any known caller may use the route.
    """

    name: str
    is_public: bool
    scope: str | None


def resource_of(request: web.Request) -> web.AbstractResource | None:
    """Return the resource that a request's path matches; None where there is none."""
    return request.match_info.route.resource


def describe_route(resource: web.AbstractResource | None) -> Route:
    """Describe the route of a resource; those of paths that are not known share one."""
    name = resource.canonical if resource is not None else "(unknown)"
    return Route(name, name in OPEN or name.startswith("/v2/health/"), _SCOPES.get(name))
