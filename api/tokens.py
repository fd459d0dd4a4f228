"""JSON Web Tokens of an identity provider (OpenID Connect): asymmetric signatures, issuer, audience and expiry."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import jwt
from aiohttp import web

from api.auth import SCOPES, Caller, sent_secret
from runtime.http import fetch

_ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
_FRESH_SECONDS: Final = 600.0
_AGAIN_SECONDS: Final = 30.0
"""A token with an unknown key makes us ask the provider; made-up ones must not make us ask all the time."""
_LEEWAY_SECONDS: Final = 30.0
_FETCH_SECONDS: Final = 5.0
_LARGEST: Final = 1 << 20


class Tokens:
    """Accepts tokens that one provider has issued for this gateway."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        fetch: Callable[[], Mapping[str, Any]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fetch` returns the provider's key set (JWKS); it may block, and raises OSError or ValueError."""
        self._issuer = issuer
        self._audience = audience
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._fetching = asyncio.Lock()

    async def caller(self, request: web.BaseRequest) -> Caller | None:
        """Return the token's subject with its scopes; None where there is no token, or none that is good."""
        token = sent_secret(request)
        if token is None or token.count(".") != 2:  # noqa: PLR2004  # head, claims, signature
            return None
        try:
            head = jwt.get_unverified_header(token)
            key = await self._key(str(head.get("kid", "")))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=list(_ALGORITHMS),
                audience=self._audience,
                issuer=self._issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError:
            return None
        return Caller(str(claims["sub"]), _scopes(claims))

    async def _key(self, kid: str) -> jwt.PyJWK | None:
        """Return a key of the provider, asking for them if it is not known or they are old."""
        age = self._clock() - self._fetched_at
        if age > _FRESH_SECONDS or (kid not in self._keys and age > _AGAIN_SECONDS):
            async with self._fetching:
                if self._clock() - self._fetched_at > _AGAIN_SECONDS:
                    await self._refresh()
        return self._keys.get(kid)

    async def _refresh(self) -> None:
        self._fetched_at = self._clock()
        try:
            found = await asyncio.to_thread(self._fetch)
            keys = jwt.PyJWKSet.from_dict(dict(found)).keys
        except (OSError, ValueError, jwt.PyJWTError):
            # Out of reach: the keys that are known stay good until they are found changed.
            return
        self._keys = {key.key_id: key for key in keys if key.key_id and key.key_type != "oct"}


def key_set(url: str) -> Mapping[str, Any]:
    """Fetch a provider's keys, from that URL alone. Blocks; raises OSError, as for a redirect, or ValueError."""
    found: Mapping[str, Any] = json.loads(fetch(url, seconds=_FETCH_SECONDS, largest=_LARGEST))
    return found


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes that a token grants, of those that exist here."""
    granted = claims.get("scope", claims.get("scp", ""))
    words = granted.split() if isinstance(granted, str) else granted if isinstance(granted, list) else []
    return frozenset(SCOPES).intersection(map(str, words))
