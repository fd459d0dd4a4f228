"""JSON Web Tokens of the EHRs that call CDS services: signed by a known issuer, for one URL, valid once.

CDS Hooks 2.0, "Trusting CDS Clients".
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
from aiohttp import web

from api.problem_details import ProblemError
from api.security.auth import PREDICT, Caller, request_secret
from api.security.jwt import INVALID_TOKEN, LEEWAY_SECONDS, KeySet, fetch_key_set, signing_keys
from runtime.settings import CdsHooks
from schemas.cds_hooks.service import SERVICES
from schemas.errors import SettingsError

_ALGORITHMS: Final[Mapping[str, str]] = {"EC": "ES384", "RSA": "RS384"}
"""The algorithm for each type of key."""
_P384: Final = "secp384r1"
_MAX_LIFETIME_SECONDS: Final = 3600.0
"""The specification's best practices expect no more. As long is a token's id remembered."""
_MAX_IDS: Final = 100_000
"""Ids that are remembered, in 15 MB: 27 calls a second with tokens of the longest lifetime, 330 with five minutes."""
_PURGE_SECONDS: Final = 60.0
_MAX_ID_CHARS: Final = 256
_ID_BYTES: Final = 16
_CLAIMS: Final = ("exp", "iat", "iss", "aud", "jti")


class Issuer(msgspec.Struct, frozen=True):
    """An issuer, and its keys; `keys_url` is where they are fetched from, empty if they are in a file."""

    name: str
    keys: KeySet
    keys_url: str


class UsedTokens:
    """The ids of tokens that were used and have not expired. A token cannot be used twice in one process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns seconds since the epoch."""
        self._clock = clock
        self._expiries: dict[bytes, float] = {}
        self._purged_at = clock()

    def add(self, issuer: str, identity: str, expiry: float) -> bool:
        """Remember a token until its expiry; returns whether it is new.

        Raises ProblemError (503) if there are too many: to forget one would allow to use it again.
        """
        now = self._clock()
        if len(self._expiries) >= _MAX_IDS or now - self._purged_at > _PURGE_SECONDS:
            self._expiries = {each: expires for each, expires in self._expiries.items() if expires > now}
            self._purged_at = now
        # The lengths separate the two, whatever characters they have.
        text = f"{len(issuer)}:{issuer}{identity}"
        digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_ID_BYTES).digest()
        if digest in self._expiries:
            return False
        if len(self._expiries) >= _MAX_IDS:
            detail = "Too many tokens were used at once, so no further one can be verified."
            raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, retry_seconds=_PURGE_SECONDS)
        self._expiries[digest] = expiry + LEEWAY_SECONDS
        return True


class CdsClientTokens:
    """Accepts tokens of the configured issuers, for the CDS services only."""

    def __init__(self, issuers: Mapping[str, Issuer], public_url: str, clock: Callable[[], float] = time.time) -> None:
        """`public_url` is the URL of the gateway for its clients, which a token's audience begins with."""
        self._issuers = issuers
        self._public_url = public_url.rstrip("/")
        self._clock = clock
        self._used = UsedTokens(clock)

    async def caller(self, request: web.BaseRequest) -> Caller | None:
        """Return the issuer, who may predict; None without a valid token for the URL that is called."""
        token = request_secret(request)
        if not is_cds_path(request.path) or token is None or token.count(".") != 2:  # noqa: PLR2004  # as in jwt
            return None
        try:
            found = await self._verified(token, f"{self._public_url}{request.path}")
        except INVALID_TOKEN:
            return None
        return None if found is None else Caller(f"cds-client:{found}", frozenset({PREDICT}))

    async def _verified(self, token: str, audience: str) -> str | None:
        """Return the issuer of a token that is valid and new; raises what the library does if it is not valid."""
        header = jwt.get_unverified_header(token)
        claimed = jwt.decode(token, options={"verify_signature": False}).get("iss")
        issuer = self._issuers.get(claimed) if isinstance(claimed, str) else None
        if issuer is None or header.get("typ") != "JWT" or not _is_its_key_set(header, issuer):
            return None
        key = await issuer.keys.key(str(header.get("kid", "")))
        algorithm = _ALGORITHMS.get(str(key.key_type)) if key is not None else None
        if key is None or algorithm is None or (algorithm == "ES384" and key.key.curve.name != _P384):
            return None
        claims = jwt.decode(
            token,
            # The key itself: for an RSA key without `alg`, the library's wrapper knows RS256 only.
            key.key,
            algorithms=[algorithm],
            audience=audience,
            issuer=issuer.name,
            leeway=LEEWAY_SECONDS,
            options={"require": list(_CLAIMS)},
        )
        identity, expiry = claims["jti"], float(claims["exp"])
        is_usable = isinstance(identity, str) and 0 < len(identity) <= _MAX_ID_CHARS
        if not is_usable or expiry > self._clock() + _MAX_LIFETIME_SECONDS + LEEWAY_SECONDS:
            return None
        return issuer.name if self._used.add(issuer.name, identity, expiry) else None


def is_cds_path(path: str) -> bool:
    """Return whether a path is that of the discovery or below it."""
    return path == SERVICES or path.startswith(f"{SERVICES}/")


def _is_its_key_set(header: Mapping[str, Any], issuer: Issuer) -> bool:
    """Return whether a token names no other URL of a key set than the configured one, the only one that is fetched."""
    return not issuer.keys_url or header.get("jku", issuer.keys_url) == issuer.keys_url


def cds_client_tokens(settings: CdsHooks, public_url: str) -> CdsClientTokens:
    """Create the tokens of the configured issuers for the gateway at this URL. Raises SettingsError."""
    issuers = {}
    for number, entry in enumerate(settings.issuers.split(","), 1):
        match entry.split():
            case [name, keys] if name not in issuers:
                issuers[name] = _issuer(name, keys)
            case _:
                text = f"entry {number} is not `ISSUER KEYS` of one issuer, with a JWKS file or its https URL as KEYS"
                raise SettingsError((f"HEARTSTREAM_CDS_HOOKS__ISSUERS: {text}",))
    return CdsClientTokens(issuers, public_url)


def _issuer(name: str, keys: str) -> Issuer:
    """Return an issuer; a file of keys must be valid now, and is read again later."""
    if keys.startswith("https://"):
        return Issuer(name, KeySet(partial(fetch_key_set, keys)), keys)
    try:
        signing_keys(_read_key_set(keys))
    except (OSError, ValueError, RecursionError) as error:
        reason = f"the key set cannot be read ({type(error).__name__})"
        raise SettingsError((f"HEARTSTREAM_CDS_HOOKS__ISSUERS: {name}: {reason}",)) from error
    return Issuer(name, KeySet(partial(_read_key_set, keys)), "")


def _read_key_set(path: str) -> object:
    return json.loads(Path(path).read_bytes())
