"""Tokens of EHRs, signed with real keys: each check of the specification, and each can be used once."""

from __future__ import annotations

import base64
import hmac
import json
import time
import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from api.problem_details import ProblemError
from api.security import cds_clients
from api.security.cds_clients import CdsClientTokens, UsedTokens, cds_client_tokens
from runtime.settings import CdsHooks
from schemas.errors import SettingsError
from tests.fakes.cds_client import BASE, ISSUER, CdsClient

PATH = "/cds-services/heart-disease-risk"


class Request:
    """The part of a request that the credentials are read from."""

    def __init__(self, token: str, path: str = PATH) -> None:
        self.headers = {"Authorization": f"Bearer {token}"}
        self.path = path


@pytest.fixture
def client(tmp_path: Path) -> CdsClient:
    return CdsClient(tmp_path / "keys.json")


@pytest.fixture
def tokens(client: CdsClient) -> CdsClientTokens:
    return cds_client_tokens(CdsHooks(enabled=True, issuers=f"{ISSUER} {client.path}"), f"{BASE}/")


@pytest.mark.parametrize("kid", ["ec", "rsa", "rsa-without-alg"])
async def test_a_valid_token_may_predict(client: CdsClient, tokens: CdsClientTokens, kid: str) -> None:
    """ES384 and RS384; the audience may be an array."""
    for audience in (BASE + PATH, [BASE + PATH]):
        caller = await tokens.caller(Request(client.token(kid, aud=audience)))
        assert caller is not None
        assert (caller.name, caller.scopes) == (f"cds-client:{ISSUER}", frozenset({"predict"}))


async def test_a_token_is_for_the_url_that_is_called(client: CdsClient, tokens: CdsClientTokens) -> None:
    """The discovery, the service and its feedback each have their own."""
    for path in ("/cds-services", PATH, f"{PATH}/feedback"):
        assert await tokens.caller(Request(client.token(aud=BASE + path), path)) is not None
        for other in {"/cds-services", PATH, f"{PATH}/feedback"} - {path}:
            assert await tokens.caller(Request(client.token(aud=BASE + path), other)) is None


async def test_a_token_is_useless_for_other_routes(client: CdsClient, tokens: CdsClientTokens) -> None:
    """Whatever its audience is."""
    for path in ("/predict", "/cds-services-of-others", "/metrics"):
        assert await tokens.caller(Request(client.token(aud=BASE + path), path)) is None


NOW = time.time()


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example"},
        {"iss": None},
        {"iss": 7},
        {"aud": f"{BASE}/cds-services"},
        {"aud": PATH},
        {"aud": f"http://evil.example{PATH}"},
        {"aud": None},
        {"exp": timedelta(minutes=-1)},
        {"exp": timedelta(hours=2)},
        {"exp": None},
        {"iat": None},
        {"iat": timedelta(minutes=10)},
        {"nbf": timedelta(minutes=10)},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 257},
    ],
    ids=" ".join,
)
async def test_a_token_with_a_wrong_claim_is_refused(
    client: CdsClient, tokens: CdsClientTokens, changes: dict[str, Any]
) -> None:
    """Foreign issuer, other audience, expired, not yet valid, too long valid, without an id."""
    claims = {
        name: time.time() + value.total_seconds() if isinstance(value, timedelta) else value
        for name, value in changes.items()
    }
    assert await tokens.caller(Request(client.token(**claims))) is None


@pytest.mark.parametrize("headers", [{"typ": "at+jwt"}, {"typ": None}, {"kid": "unknown"}, {"kid": None}])
async def test_a_token_with_a_wrong_header_is_refused(
    client: CdsClient, tokens: CdsClientTokens, headers: dict[str, Any]
) -> None:
    """Of another type, or of no known key."""
    assert await tokens.caller(Request(client.token(headers=headers))) is None


def forged(client: CdsClient, algorithm: str) -> str:
    """Return a token whose header claims an algorithm that needs no private key."""
    encode = lambda part: base64.urlsafe_b64encode(part).rstrip(b"=").decode()  # noqa: E731
    header = {"alg": algorithm, "typ": "JWT", "kid": "ec"}
    signed = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(client.claims()).encode())}"
    public = client.keys["ec"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    digest = {"HS256": "sha256", "HS384": "sha384", "HS512": "sha512"}.get(algorithm)
    return f"{signed}.{encode(hmac.digest(public, signed.encode(), digest)) if digest else ''}"


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "HS384", "HS512", ""])
async def test_a_token_without_an_asymmetric_signature_is_refused(
    client: CdsClient, tokens: CdsClientTokens, algorithm: str
) -> None:
    """Not signed, or with the public key as a shared secret."""
    assert await tokens.caller(Request(forged(client, algorithm))) is None


@pytest.mark.parametrize(
    ("kid", "algorithm"), [("rsa", "RS256"), ("rsa", "PS384"), ("rsa", "RS512"), ("p256", "ES256")]
)
async def test_other_algorithms_are_refused(
    client: CdsClient, tokens: CdsClientTokens, kid: str, algorithm: str
) -> None:
    """Also where the key is a known one and the signature is right."""
    assert await tokens.caller(Request(client.token(kid, algorithm))) is None


async def test_the_key_of_another_is_refused(client: CdsClient, tokens: CdsClientTokens, tmp_path: Path) -> None:
    """Its id is that of a known key, or its token has another one's claims."""
    other = CdsClient(tmp_path / "others.json")
    assert await tokens.caller(Request(other.token())) is None
    (header, claims, _), (*_, signature) = client.token().split("."), other.token().split(".")
    assert await tokens.caller(Request(f"{header}.{claims}.{signature}")) is None


async def test_a_token_is_accepted_once(client: CdsClient, tokens: CdsClientTokens) -> None:
    """Another with the same id is a replay as well; one with another id is not."""
    token = client.token(jti="once")
    found = [await tokens.caller(Request(each)) for each in (token, token, client.token(jti="once"), client.token())]
    assert [each is not None for each in found] == [True, False, False, True]


async def test_a_refused_token_uses_up_no_id(client: CdsClient, tokens: CdsClientTokens) -> None:
    """Nobody but its owner can make an id unusable."""
    assert await tokens.caller(Request(client.token(jti="mine", aud=f"{BASE}/cds-services"))) is None
    assert await tokens.caller(Request(client.token(jti="mine"))) is not None


def test_ids_are_of_an_issuer_and_forgotten_when_they_expire() -> None:
    """Not before a token with it is refused as expired."""
    now = [NOW]
    used = UsedTokens(lambda: now[0])
    assert [used.add(issuer, "1", NOW + 300) for issuer in ("a", "b", "a")] == [True, True, False]
    now[0] += 300 + cds_clients.LEEWAY_SECONDS - 1
    assert used.add("a", "1", NOW + 300) is False
    now[0] += 62
    assert used.add("a", "1", now[0] + 300) is True


def test_no_id_is_forgotten_for_want_of_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Further tokens get 503 until some expire."""
    monkeypatch.setattr(cds_clients, "_MAX_IDS", 3)
    now = [NOW]
    used = UsedTokens(lambda: now[0])
    assert [used.add("a", str(number), NOW + 10) for number in range(3)] == [True] * 3
    with pytest.raises(ProblemError) as refused:
        used.add("a", "3", NOW + 10)
    assert (refused.value.status, refused.value.retry_seconds) == (503, 60.0)
    assert used.add("a", "0", NOW + 10) is False
    now[0] += 10 + cds_clients.LEEWAY_SECONDS + 1
    assert used.add("a", "3", NOW + 100) is True


async def test_only_the_configured_key_set_is_fetched(client: CdsClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that names another one is refused without a request."""
    asked: list[str] = []

    def fetch(url: str) -> object:
        asked.append(url)
        return client.key_set()

    monkeypatch.setattr(cds_clients, "fetch_key_set", fetch)
    url = "https://ehr.example.org/jwks.json"
    tokens = cds_client_tokens(CdsHooks(enabled=True, issuers=f"{ISSUER} {url}"), BASE)
    found = [
        await tokens.caller(Request(client.token(headers={"jku": each}))) for each in ("https://evil.example/", url)
    ]
    assert ([each is not None for each in found], asked) == ([False, True], [url])
    assert await tokens.caller(Request(client.token())) is not None


@pytest.mark.parametrize("text", ["none", "a", "a b c", "{0} /no/such/file", "{0} {1},{0} {1}", "{0} {1},", ","])
def test_settings_that_name_no_keys_are_refused(client: CdsClient, text: str) -> None:
    """A process without the keys of an issuer would refuse all of its calls."""
    with pytest.raises(SettingsError, match="HEARTSTREAM_CDS_HOOKS__ISSUERS"):
        cds_client_tokens(CdsHooks(enabled=True, issuers=text.format(ISSUER, client.path)), BASE)


@pytest.mark.parametrize("make", [ec.generate_private_key, rsa.generate_private_key], ids=["P-521", "RSA 1024"])
async def test_weak_and_other_keys_verify_nothing(client: CdsClient, make: Callable[..., Any], tmp_path: Path) -> None:
    """A curve that is not that of ES384, and a short RSA key, though they are in the file."""
    key = make(ec.SECP521R1()) if make is ec.generate_private_key else make(65537, 1024)
    kind = jwt.algorithms.ECAlgorithm if make is ec.generate_private_key else jwt.algorithms.RSAAlgorithm
    entry = json.loads(kind.to_jwk(key.public_key())) | {"kid": "weak"}
    path = tmp_path / "weak.json"
    path.write_text(json.dumps({"keys": [entry, *client.key_set()["keys"]]}), encoding="utf-8")
    tokens = cds_client_tokens(CdsHooks(enabled=True, issuers=f"{ISSUER} {path}"), BASE)
    algorithm = "ES512" if make is ec.generate_private_key else "RS384"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token = jwt.encode(client.claims(), key, algorithm, headers={"kid": "weak"})
        assert await tokens.caller(Request(token)) is None
