"""Authentication and authorization: API keys, tokens of an identity provider, client certificates.

A request has one caller; a key or token takes precedence over the certificate of the connection. Error responses do
not say why a credential is invalid.
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

from api.problem_details import ProblemError
from schemas.cds_hooks.service import SERVICES
from schemas.errors import SettingsError
from schemas.fhir.mapping import OPERATIONS, POPULATE

PREDICT: Final = "predict"
METRICS: Final = "metrics"
ADMIN: Final = "admin"
SCOPES: Final = (PREDICT, METRICS, ADMIN)
"""`predict` allows scoring, `metrics` reading metrics, `admin` everything."""
KEY_PREFIX: Final = "hs_"
_KEY_BYTES: Final = 32
_SECRET_HEADERS: Final = ("Authorization", "X-API-Key")
"""Headers that may contain a key or token."""


class Caller(msgspec.Struct, frozen=True):
    """An authenticated caller. `name` is not secret: it is used in the audit trail and for rate limits.

    It starts with the kind of credential, as in `key:lab-system`, so that a token's subject cannot pose as a key.
    """

    name: str
    scopes: frozenset[str]

    def allows(self, scope: str | None) -> bool:
        """Return whether it has a scope; None is always granted."""
        return scope is None or scope in self.scopes or ADMIN in self.scopes


class Credentials(Protocol):
    """One method of authentication."""

    async def caller(self, request: web.BaseRequest) -> Caller | None:
        """Return the caller of a request, None if this method does not identify it."""


class ApiKeys:
    """API keys, stored only as SHA-256 hashes: a key has 256 random bits, so an unsalted hash is enough."""

    def __init__(self, lines: str) -> None:
        """Parse lines `name:scope,scope:hash`; raises SettingsError, which quotes none of them."""
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
        """Compare with every key, in constant time."""
        key = request_secret(request)
        if key is None or not key.startswith(KEY_PREFIX):
            return None
        digest = hashlib.sha256(key.encode()).hexdigest().encode()
        found = None
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def new_key(name: str, scopes: Sequence[str]) -> tuple[str, str]:
    """Create a key; return it, and its line for the gateway's key file."""
    key = KEY_PREFIX + secrets.token_urlsafe(_KEY_BYTES)
    return key, f"{name}:{','.join(scopes)}:{hashlib.sha256(key.encode()).hexdigest()}"


class Certificates:
    """Client certificates, which the TLS layer has verified already; their scope is `predict`."""

    def __init__(self, *, is_only_method: bool) -> None:
        """Unless `is_only_method`, a request with a key or token is authenticated by that, valid or not."""
        self._is_only_method = is_only_method

    async def caller(self, request: web.BaseRequest) -> Caller | None:
        """Return the caller named by the certificate's common name; None if there is none, or several."""
        if not self._is_only_method and any(name in request.headers for name in _SECRET_HEADERS):
            return None
        certificate = request.get_extra_info("peercert") or {}
        subject = certificate.get("subject", ())
        names = [value for part in subject for key, value in part if key == "commonName"]
        return (
            Caller(f"certificate:{names[0]}", frozenset({PREDICT})) if len(names) == 1 and is_name(names[0]) else None
        )


def is_name(text: object) -> bool:
    """Return whether a caller's name is valid for the audit trail."""
    return isinstance(text, str) and bool(text.strip()) and text.isprintable()


def request_secret(request: web.BaseRequest) -> str | None:
    """Return the key or token of a request: a Bearer token, X-API-Key, or the password of Basic authentication.

    Secrets are ASCII; anything else is ignored.
    """
    secret = _header_secret(request)
    return secret if secret is not None and secret.isascii() else None


def _header_secret(request: web.BaseRequest) -> str | None:
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


def caller_name(request: web.BaseRequest) -> str:
    """Return the name of the authenticated caller, else the client's address."""
    known: Caller | None = request.get(CALLER)
    return known.name if known is not None else f"address:{request.remote or ''}"


class Authenticator:
    """Authenticates each request by the first credentials that identify a caller. Without any, it is switched off."""

    def __init__(self, credentials: Iterable[Credentials]) -> None:
        self._credentials = tuple(credentials)

    @property
    def is_open(self) -> bool:
        """Whether authentication is switched off."""
        return not self._credentials

    async def authorize(self, request: web.BaseRequest, scope: str | None) -> Caller:
        """Return the caller; raises ProblemError if it is unknown (401) or does not have the scope (403)."""
        for each in self._credentials:
            if (found := await each.caller(request)) is not None:
                break
        else:
            detail = "Authentication required: send an API key, a token or a client certificate."
            raise ProblemError(HTTPStatus.UNAUTHORIZED, detail)
        if not found.allows(scope):
            raise ProblemError(
                HTTPStatus.FORBIDDEN, "Permission denied: the credentials do not have the required scope."
            )
        return found


PUBLIC_ROUTES: Final = frozenset({"/health", "/health/startup", "/health/live", "/health/ready", "/ping"})
_SCOPES: Final[Mapping[str, str]] = {
    "/predict": PREDICT,
    "/predict/batch": PREDICT,
    "/invocations": PREDICT,
    "/v2/models/{model}/infer": PREDICT,
    "/v2/models/{model}/versions/{version}/infer": PREDICT,
    "/stream/events": PREDICT,
    "/metrics": METRICS,
}


class Route(msgspec.Struct, frozen=True):
    """A route: the pattern of its path, whether it is public, and its scope.

    Only the health routes are public. If the scope is None, any authenticated caller may use the route. With
    `has_preflight`, browsers ask without credentials, by OPTIONS, whether a page may use it.
    """

    name: str
    is_public: bool
    scope: str | None
    has_preflight: bool


def resource_of(request: web.Request) -> web.AbstractResource | None:
    """Return the resource that matches a request's path, None for an unknown path."""
    return request.match_info.route.resource


def describe_route(resource: web.AbstractResource | None) -> Route:
    """Return the route of a resource; all unknown paths share one."""
    name = resource.canonical if resource is not None else "(unknown)"
    is_prediction = name.startswith((OPERATIONS, f"{SERVICES}/")) or name.endswith(POPULATE)
    scope = PREDICT if is_prediction else _SCOPES.get(name)
    is_public = name in PUBLIC_ROUTES or name.startswith("/v2/health/")
    return Route(name, is_public, scope, name.startswith(SERVICES))
