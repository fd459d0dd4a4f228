"""JSON Web Tokens of an identity provider (OpenID Connect): asymmetric signatures, issuer, audience and expiry."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import jwt
from aiohttp import web

from api.problem_details import ProblemError
from api.security.auth import SCOPES, Caller, is_name, request_secret
from runtime import events
from runtime.http import fetch

_ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
_CACHE_SECONDS: Final = 600.0
_REFETCH_SECONDS: Final = 30.0
"""A token with an unknown key makes us fetch the keys again; forged tokens must not make us do it all the time."""
LEEWAY_SECONDS: Final = 30.0
_FETCH_SECONDS: Final = 5.0
_KEY_SET_MAX_BYTES: Final = 1 << 20
_MIN_RSA_BITS: Final = 2048
INVALID_TOKEN: Final = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What the library raises for invalid or malformed tokens."""


class KeySet:
    """The keys of one issuer, by key id, fetched again when they are old or a key is unknown."""

    def __init__(self, fetch: Callable[[], object], clock: Callable[[], float] = time.monotonic) -> None:
        """`fetch` returns the key set (JWKS); it may block, and raises OSError or ValueError."""
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._is_unavailable = False
        self._fetching = asyncio.Lock()

    async def key(self, kid: str) -> jwt.PyJWK | None:
        """Return a key, None if there is none of this id.

        Raises ProblemError (503) if it is unknown and the provider's keys cannot be fetched.
        """
        age = self._clock() - self._fetched_at
        if age > _CACHE_SECONDS or (kid not in self._keys and age > _REFETCH_SECONDS):
            async with self._fetching:
                if self._clock() - self._fetched_at > _REFETCH_SECONDS:
                    await self._refresh()
        key = self._keys.get(kid)
        if key is None and self._is_unavailable:
            detail = "The identity provider's keys are unavailable, so the token cannot be verified."
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_seconds=_REFETCH_SECONDS)
        return key

    async def _refresh(self) -> None:
        self._fetched_at = self._clock()
        try:
            self._keys = signing_keys(await asyncio.to_thread(self._fetch))
        except (OSError, ValueError, RecursionError) as error:
            # Known keys stay valid until the provider is known to have changed them.
            events.TokenKeysUnavailable(error).emit()
            self._is_unavailable = True
        else:
            self._is_unavailable = False


class JwtTokens:
    """Accepts tokens that one provider has issued for this gateway."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        fetch: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fetch` returns the provider's key set, as for `KeySet`."""
        self._issuer = issuer
        self._audience = audience
        self._keys = KeySet(fetch, clock)

    async def caller(self, request: web.BaseRequest) -> Caller | None:
        """Return the token's subject with its scopes; None without a valid token."""
        token = request_secret(request)
        if token is None or token.count(".") != 2:  # noqa: PLR2004  # header, claims, signature
            return None
        try:
            header = jwt.get_unverified_header(token)
            key = await self._keys.key(str(header.get("kid", "")))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=list(_ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except INVALID_TOKEN:
            return None
        subject = claims["sub"]
        return Caller(f"token:{subject}", _scopes(claims)) if is_name(subject) else None


def signing_keys(document: object) -> dict[str, jwt.PyJWK]:
    """Return the public signing keys of a key set by key id; others are skipped. Raises ValueError."""
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list):
        raise ValueError("the response is not a key set")  # noqa: TRY004  # a server's response, not a programming error
    by_id = {key.key_id: key for key in map(_signing_key, keys) if key is not None and key.key_id}
    if not by_id:
        raise ValueError("the key set has no signing key")
    return by_id


def _signing_key(item: object) -> jwt.PyJWK | None:
    """Return a key if it is asymmetric, meant for signatures and long enough."""
    if not isinstance(item, dict) or item.get("use", "sig") != "sig" or not isinstance(item.get("kid"), str):
        return None
    operations = item.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = jwt.PyJWK.from_dict(item)
    except Exception:  # noqa: BLE001  # a provider may send anything, and the library raises anything
        return None
    is_short = key.key_type == "RSA" and key.key.key_size < _MIN_RSA_BITS
    return None if key.key_type == "oct" or is_short else key


def fetch_key_set(url: str) -> object:
    """Fetch a provider's keys; redirects are errors. Blocks; raises OSError or ValueError."""
    return json.loads(fetch(url, seconds=_FETCH_SECONDS, largest=_KEY_SET_MAX_BYTES))


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the known scopes that a token grants."""
    granted = claims.get("scope", claims.get("scp", ""))
    names = granted.split() if isinstance(granted, str) else granted if isinstance(granted, list) else []
    return frozenset(SCOPES).intersection(map(str, names))
