"""Tokens of an identity provider: verified signatures, issuer, audience and times, and keys that are fetched rarely."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import json
import ssl
import threading
import warnings
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from api.problem_details import ProblemError
from tests.fakes.identity_provider import CertificateAuthority, IdentityProvider
from tests.support.gateway_auth import bearer, predict_status
from tests.support.workers import Starter


@pytest.fixture
def provider() -> IdentityProvider:
    return IdentityProvider()


class Request:
    """The part of a request that the credentials are read from."""

    def __init__(self, token: str) -> None:
        self.headers = {"Authorization": f"Bearer {token}"}


def tokens(provider: IdentityProvider, clock: Any = None) -> Any:
    from api.security.jwt import JwtTokens  # noqa: PLC0415

    times = {} if clock is None else {"clock": clock}
    return JwtTokens("https://id.example", "heartstream", provider.fetch_key_set, **times)


async def test_a_valid_token_has_its_subject_and_scopes(provider: IdentityProvider) -> None:
    """Scopes that do not exist here are ignored."""
    caller = await tokens(provider).caller(Request(provider.token()))
    assert (caller.name, caller.scopes) == ("token:ward-7", frozenset({"predict"}))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"aud": "another"},
        {"exp": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)},
        {"exp": None},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "  "},
        {"sub": "a\nb"},
        {"sub": "\ud800"},
        {"sub": 7},
        {"nbf": dt.datetime(2100, 1, 1, tzinfo=dt.UTC)},
    ],
)
async def test_a_token_for_others_or_another_time_is_refused(
    provider: IdentityProvider, changes: dict[str, Any]
) -> None:
    """Issuer, audience and times are required and verified."""
    assert await tokens(provider).caller(Request(provider.token(**changes))) is None


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


async def test_forged_tokens_are_refused(provider: IdentityProvider) -> None:
    """`alg: none`, an HMAC with the public key, and another key under a known id."""
    interface, good = tokens(provider), provider.token()
    head, claims, _ = good.split(".")
    none = encoded(b'{"alg":"none","kid":"k1"}')
    public = json.dumps(provider.fetch_key_set()).encode()
    shared = encoded(b'{"alg":"HS256","kid":"k1"}') + "." + claims
    secret = f"{shared}.{encoded(hmac.digest(public, shared.encode(), 'sha256'))}"
    stranger = IdentityProvider().token()
    for token in (f"{none}.{claims}.", f"{head}.{claims}.AAAA", secret, stranger):
        assert await interface.caller(Request(token)) is None
    assert await interface.caller(Request(good)) is not None


async def test_new_keys_are_fetched_but_not_for_every_unknown_key(provider: IdentityProvider) -> None:
    """A rotated key is found, but unknown key ids cause at most one fetch per half minute."""
    now = [1000.0]
    interface = tokens(provider, lambda: now[0])
    assert await interface.caller(Request(provider.token())) is not None
    provider.keys["k2"] = ec.generate_private_key(ec.SECP256R1())
    stranger = IdentityProvider()
    stranger.keys["k9"] = stranger.keys["k1"]
    for _ in range(50):
        assert await interface.caller(Request(stranger.token("k9"))) is None
    assert provider.asked == 1
    now[0] += 31
    assert (await interface.caller(Request(provider.token("k2"))) is not None, provider.asked) == (True, 2)


async def test_cached_keys_survive_an_outage_of_the_provider(provider: IdentityProvider) -> None:
    """An outage of the provider only affects keys that are not cached yet."""
    now = [1000.0]
    interface = tokens(provider, lambda: now[0])
    good = provider.token()
    assert await interface.caller(Request(good)) is not None

    def unavailable() -> Mapping[str, Any]:
        raise OSError

    interface._keys._fetch = unavailable
    now[0] += 3600
    assert await interface.caller(Request(good)) is not None


def test_a_gateway_accepts_tokens_of_a_provider(start: Starter, provider: IdentityProvider, tmp_path: Path) -> None:
    """From the settings to the response, over TLS to a provider with its own certificate authority."""
    authority = CertificateAuthority(tmp_path)
    certificate, key = authority.issue("127.0.0.1")

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(provider.fetch_key_set()).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Keys)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authority.certificate))
        with start(
            AUTH__TOKEN_ISSUER="https://id.example",
            AUTH__TOKEN_AUDIENCE="heartstream",
            AUTH__TOKEN_KEYS_URL=f"https://127.0.0.1:{server.server_port}/keys",
        ) as gateway:
            assert predict_status(gateway, bearer(provider.token())) == 200
            assert predict_status(gateway, bearer(provider.token(scope="openid"))) == 403
            assert predict_status(gateway, bearer(IdentityProvider().token())) == 401
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [302, 308])
def test_keys_are_fetched_from_the_configured_url_only(provider: IdentityProvider, status: int) -> None:
    """Redirects are not followed, and an oversized key set is refused."""
    from api.security.jwt import fetch_key_set  # noqa: PLC0415  # an extra

    asked = []

    class Redirecting(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = json.dumps(provider.fetch_key_set()).encode()
            self.send_response(status if self.path == "/keys" else 200)
            self.send_header("Location", f"http://127.0.0.1:{server.server_port}/elsewhere")
            self.end_headers()
            self.wfile.write(body if self.path != "/endless" else b" " * 2_000_000)

        def log_message(self, *_arguments: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Redirecting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    place = f"http://127.0.0.1:{server.server_port}"
    assert fetch_key_set(f"{place}/good") == provider.fetch_key_set()
    for path, reason in (("keys", f"HTTP Error {status}"), ("endless", "more than")):
        with pytest.raises(OSError, match=reason):
            fetch_key_set(f"{place}/{path}")
    server.shutdown()
    server.server_close()
    assert asked == ["/good", "/keys", "/endless"]


def rsa_key(bits: int, **more: Any) -> tuple[rsa.RSAPrivateKey, dict[str, Any]]:
    """Create a key and its entry in a key set."""
    key = rsa.generate_private_key(65537, bits)
    return key, {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())), "kid": "k1", **more}


@pytest.mark.parametrize(
    ("bits", "more", "is_good"),
    [
        (2048, {}, True),
        (2048, {"use": "sig", "key_ops": ["verify"]}, True),
        (1024, {}, False),
        (2048, {"use": "enc"}, False),
        (2048, {"key_ops": ["encrypt"]}, False),
    ],
)
async def test_unsuitable_keys_verify_nothing(
    provider: IdentityProvider, bits: int, more: dict[str, Any], *, is_good: bool
) -> None:
    """Short keys and encryption keys verify nothing, even if their signature is right."""
    key, entry = rsa_key(bits, **more)
    good = provider.fetch_key_set()["keys"][0] | {"kid": "another"}
    provider.fetch_key_set = lambda: {"keys": [entry, good]}
    claims = jwt.decode(provider.token(), options={"verify_signature": False})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k1"})
    assert (await tokens(provider).caller(Request(token)) is not None) is is_good


BAD_SETS = [None, [], {}, "keys", 7, {"keys": None}, {"keys": {}}, {"keys": []}, {"keys": [None]}, {"keys": ["k1"]}]
BAD_SETS += [{"keys": [each]} for each in ({}, {"kid": "k1"}, {"kid": "k1", "kty": "RSA", "n": 7, "e": []})]
BAD_SETS += [{"keys": [{"kid": "k1", "kty": "EC", "crv": "P-256", "x": "AA", "y": None}]}, {"keys": [[["k1"]]]}]


@pytest.mark.parametrize("unusable", BAD_SETS, ids=str)
async def test_an_unusable_key_set_gives_503(provider: IdentityProvider, unusable: object) -> None:
    """An unusable key set gives 503, never an internal error; cached keys stay valid."""
    now = [1000.0]
    interface, good, usual = tokens(provider, lambda: now[0]), provider.token(), provider.fetch_key_set
    provider.fetch_key_set = lambda: unusable
    interface._keys._fetch = provider.fetch_key_set
    with pytest.raises(ProblemError) as refused:
        await interface.caller(Request(good))
    assert (refused.value.status, refused.value.retry_seconds) == (503, 30.0)
    now[0] += 31
    interface._keys._fetch = usual
    assert await interface.caller(Request(good)) is not None
    now[0] += 3600
    interface._keys._fetch = lambda: unusable
    assert await interface.caller(Request(good)) is not None
