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

from api.problem_details import RefusalError
from api.security.auth import SCOPES, Caller, is_name, sent_secret
from runtime import events
from runtime.http import fetch

_ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
_FRESH_SECONDS: Final = 600.0
_AGAIN_SECONDS: Final = 30.0
"""A token with an unknown key makes us ask the provider; made-up ones must not make us ask all the time."""
_LEEWAY_SECONDS: Final = 30.0
_FETCH_SECONDS: Final = 5.0
_LARGEST: Final = 1 << 20
_SHORTEST_RSA_BITS: Final = 2048
_ODD: Final = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)
"""What the library raises for tokens that are no good, or are odd."""


class Tokens:
    """Accepts tokens that one provider has issued for this gateway."""

    def __init__(
        self,
        issuer: str,
        audience: str,
        fetch: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fetch` returns the provider's key set (JWKS); it may block, and raises OSError or ValueError."""
        self._issuer = issuer
        self._audience = audience
        self._fetch = fetch
        self._clock = clock
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._is_away = False
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
        except _ODD:
            return None
        subject = claims["sub"]
        return Caller(f"token:{subject}", _scopes(claims)) if is_name(subject) else None

    async def _key(self, kid: str) -> jwt.PyJWK | None:
        """Return a key of the provider, asking for them if it is not known or they are old.

        Raises RefusalError (503) where it is not known, and the provider's keys could not be read.
        """
        age = self._clock() - self._fetched_at
        if age > _FRESH_SECONDS or (kid not in self._keys and age > _AGAIN_SECONDS):
            async with self._fetching:
                if self._clock() - self._fetched_at > _AGAIN_SECONDS:
                    await self._refresh()
        key = self._keys.get(kid)
        if key is None and self._is_away:
            detail = "The identity provider's keys cannot be read, so no token can be checked."
            raise RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_seconds=_AGAIN_SECONDS)
        return key

    async def _refresh(self) -> None:
        self._fetched_at = self._clock()
        try:
            self._keys = usable_keys(await asyncio.to_thread(self._fetch))
        except (OSError, ValueError, RecursionError) as error:
            # The keys that are known stay good until they are found changed.
            events.TokenKeysUnavailable(error).emit()
            self._is_away = True
        else:
            self._is_away = False


def usable_keys(document: object) -> dict[str, jwt.PyJWK]:
    """Return the public keys of a key set that sign tokens, by their ids; others are left out. Raises ValueError."""
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list):
        raise ValueError("the answer is not a key set")  # noqa: TRY004  # what a server sent is no programming error
    found = {key.key_id: key for key in map(_usable, keys) if key is not None and key.key_id}
    if not found:
        raise ValueError("the key set has no key that signs tokens")
    return found


def _usable(found: object) -> jwt.PyJWK | None:
    """Return a key that may sign: for signatures by its own words, asymmetric, and of a length that still protects."""
    if not isinstance(found, dict) or found.get("use", "sig") != "sig" or not isinstance(found.get("kid"), str):
        return None
    operations = found.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        key = jwt.PyJWK.from_dict(found)
    except Exception:  # noqa: BLE001  # a provider may send anything, and the library raises anything
        return None
    is_short = key.key_type == "RSA" and key.key.key_size < _SHORTEST_RSA_BITS
    return None if key.key_type == "oct" or is_short else key


def key_set(url: str) -> object:
    """Fetch a provider's keys, from that URL alone. Blocks; raises OSError, as for a redirect, or ValueError."""
    return json.loads(fetch(url, seconds=_FETCH_SECONDS, largest=_LARGEST))


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the scopes that a token grants, of those that exist here."""
    granted = claims.get("scope", claims.get("scp", ""))
    words = granted.split() if isinstance(granted, str) else granted if isinstance(granted, list) else []
    return frozenset(SCOPES).intersection(map(str, words))
