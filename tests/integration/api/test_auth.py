"""Authentication and authorization at the gateway: API keys, tokens and client certificates."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
import ssl
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from api.problem_details import ProblemError
from api.security.auth import new_key
from heartstream.demo.processes import Child, running
from runtime.ports import free_port
from tests.fakes.identity_provider import CertificateAuthority, IdentityProvider
from tests.support.calls import PATIENTS, ask
from tests.support.workers import Starter

(LAB, LAB_LINE), (SCRAPER, SCRAPER_LINE), (CHIEF, CHIEF_LINE) = (
    new_key(name, scopes) for name, scopes in (("lab", ["predict"]), ("prometheus", ["metrics"]), ("chief", ["admin"]))
)
OPEN = ["/health", "/health/live", "/health/ready", "/health/startup", "/v2/health/live", "/v2/health/ready", "/ping"]
CLOSED = ["/", "/model", "/model/card", "/metrics", "/openapi.json", "/asyncapi.json", "/docs", "/v2", "/no/such/path"]


@pytest.fixture(scope="module")
def guarded(start: Starter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text(f"{LAB_LINE}\n{SCRAPER_LINE}\n{CHIEF_LINE}\n", encoding="utf-8")
    with start(AUTH__API_KEYS_FILE=str(keys)) as gateway:
        yield gateway
    assert not [key for key in (LAB, SCRAPER, CHIEF) if key in gateway.log.read_text(encoding="utf-8")]


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def predicted(gateway: Child, headers: Mapping[str, str]) -> int:
    return ask(gateway, "POST", "/predict", PATIENTS[0], headers).status


def test_health_is_open_and_nothing_else(guarded: Child) -> None:
    """Without credentials only probes are answered; everything else is 401 with WWW-Authenticate."""
    assert [ask(guarded, "GET", path).status for path in OPEN] == [200] * len(OPEN)
    found = [ask(guarded, "GET", path) for path in CLOSED] + [ask(guarded, "POST", "/predict", PATIENTS[0])]
    assert [each.status for each in found] == [401] * len(found)
    assert all("Bearer" in each.headers["WWW-Authenticate"] for each in found)


@pytest.mark.parametrize(
    "headers",
    [bearer(LAB), {"X-API-Key": LAB}, {"Authorization": "Basic " + base64.b64encode(f"x:{LAB}".encode()).decode()}],
    ids=["bearer", "x-api-key", "basic"],
)
def test_a_key_is_taken_in_each_form(guarded: Child, headers: dict[str, str]) -> None:
    """As a bearer token, as X-API-Key and as a basic password."""
    assert predicted(guarded, headers) == 200


@pytest.mark.parametrize(
    "headers",
    [
        bearer(LAB[:-1]),
        bearer(LAB + "A"),
        bearer("hs_"),
        bearer(hashlib.sha256(LAB.encode()).hexdigest()),
        bearer("a.b.c"),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Digest {LAB}"},
        {"X-API-Key": ""},
        {"X-API-Key": LAB + "\xff"},
        bearer("a.b.\xff"),
        {"Authorization": "Basic " + base64.b64encode("x:hs_\u20ac".encode()).decode()},
    ],
)
def test_what_is_no_key_is_refused(guarded: Child, headers: dict[str, str]) -> None:
    """Part of a key, its hash, or another scheme gives 401 without a hint of what was wrong."""
    found = ask(guarded, "POST", "/predict", PATIENTS[0], headers)
    assert (found.status, found.json["detail"]) == (
        401,
        "Authentication required: send an API key, a token or a client certificate.",
    )


def test_scopes_are_kept(guarded: Child) -> None:
    """`predict` reads no metrics and `metrics` scores nothing; `admin` may do both; documents are open to all three."""
    keys = (LAB, SCRAPER, CHIEF)
    assert [predicted(guarded, bearer(key)) for key in keys] == [200, 403, 200]
    assert [ask(guarded, "GET", "/metrics", None, bearer(key)).status for key in keys] == [403, 200, 200]
    assert [ask(guarded, "GET", "/openapi.json", None, bearer(key)).status for key in keys] == [200, 200, 200]


def test_every_caller_has_its_own_bucket(start: Starter) -> None:
    """Rate limits apply per key, not per address: callers behind one proxy do not affect each other."""
    with start(
        AUTH__API_KEYS=f"{LAB_LINE} {CHIEF_LINE}", GATEWAY__RECORDS_PER_SECOND="1", GATEWAY__BURST_RECORDS="2"
    ) as gateway:
        assert [predicted(gateway, bearer(LAB)) for _ in range(3)] == [200, 200, 429]
        assert predicted(gateway, bearer(CHIEF)) == 200


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


async def test_a_good_token_names_its_subject_and_scopes(provider: IdentityProvider) -> None:
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


async def test_new_keys_are_fetched_but_not_for_every_stranger(provider: IdentityProvider) -> None:
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


async def test_known_keys_outlive_a_provider_that_is_away(provider: IdentityProvider) -> None:
    """An outage of the provider only affects keys that are not cached yet."""
    now = [1000.0]
    interface = tokens(provider, lambda: now[0])
    good = provider.token()
    assert await interface.caller(Request(good)) is not None

    def away() -> Mapping[str, Any]:
        raise OSError

    interface._fetch = away
    now[0] += 3600
    assert await interface.caller(Request(good)) is not None


def test_a_gateway_takes_tokens_of_a_provider(start: Starter, provider: IdentityProvider, tmp_path: Path) -> None:
    """From the settings to the response, over TLS to a provider with its own certificate authority."""
    ca = CertificateAuthority(tmp_path)
    certificate, key = ca.issue("127.0.0.1")

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
        patch.setenv("SSL_CERT_FILE", str(ca.certificate))
        with start(
            AUTH__TOKEN_ISSUER="https://id.example",
            AUTH__TOKEN_AUDIENCE="heartstream",
            AUTH__TOKEN_KEYS_URL=f"https://127.0.0.1:{server.server_port}/keys",
        ) as gateway:
            assert predicted(gateway, bearer(provider.token())) == 200
            assert predicted(gateway, bearer(provider.token(scope="openid"))) == 403
            assert predicted(gateway, bearer(IdentityProvider().token())) == 401
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("status", [302, 308])
def test_keys_come_from_the_url_that_was_given_alone(provider: IdentityProvider, status: int) -> None:
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


@contextmanager
def tls_gateway(
    model_dir: Path, folder: Path, ca: CertificateAuthority, **settings: str
) -> Iterator[Callable[..., int]]:
    """Run a gateway with TLS that asks for client certificates; yield a function that returns a request's status."""
    (server, server_key), port = ca.issue("gateway"), free_port()
    fixed = {
        "MODEL__PATH": str(model_dir),
        "GATEWAY__PORT": str(port),
        "GATEWAY__SHUTDOWN_DELAY_SECONDS": "0",
        "AUTH__TLS_CERTIFICATE": str(server),
        "AUTH__TLS_KEY": str(server_key),
        "AUTH__TLS_CLIENT_CA": str(ca.certificate),
    }
    url = f"https://127.0.0.1:{port}"

    def answered(
        path: str,
        certificate: tuple[Path, Path] | None,
        body: bytes | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> int:
        context = ssl.create_default_context(cafile=str(ca.certificate))
        if certificate is not None:
            context.load_cert_chain(*certificate)
        request = urllib.request.Request(url + path, data=body, headers=dict(headers))
        try:
            with urllib.request.urlopen(request, context=context, timeout=10) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code

    named = {f"HEARTSTREAM_{name}": value for name, value in {**fixed, **settings}.items()}
    with running("gateway", named, url, folder / "log") as child:
        while "listening" not in child.log.read_text(encoding="utf-8"):
            child.check()
        yield answered
    with pytest.raises(OSError):  # noqa: PT011  # nothing listens there, in plain words or in others
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10).read()


def test_client_certificates_name_callers(model_dir: Path, tmp_path: Path) -> None:
    """The authority's certificates may predict; without one only health is answered; others are rejected."""
    (tmp_path / "other").mkdir()
    ca, other = CertificateAuthority(tmp_path), CertificateAuthority(tmp_path / "other")
    client, twofold, stranger = ca.issue("ward-7"), ca.issue("ward-8", "chief"), other.issue("ward-7")
    with tls_gateway(model_dir, tmp_path, ca) as answered:
        found = (answered("/predict", client, PATIENTS[0]), answered("/metrics", client), answered("/health", client))
        assert found == (200, 403, 200)
        assert (answered("/predict", None, PATIENTS[0]), answered("/model", None)) == (401, 401)
        assert [answered(path, None) for path in OPEN] == [200] * len(OPEN)
        assert answered("/predict", twofold, PATIENTS[0]) == 401
        with pytest.raises(OSError):  # noqa: PT011  # TLS ends it, one way or another
            answered("/health", stranger)


def test_a_key_is_judged_by_itself_whatever_certificate_comes_with_it(model_dir: Path, tmp_path: Path) -> None:
    """A certificate neither extends nor restricts a key's scopes, and does not make an invalid key valid."""
    ca = CertificateAuthority(tmp_path)
    client, trail = ca.issue("lab"), tmp_path / "trail.jsonl"
    keys = f"{LAB_LINE} {SCRAPER_LINE} {CHIEF_LINE}"
    audit = {"AUDIT__PATH": str(trail), "AUDIT__KEY": "a secret of good length"}
    with tls_gateway(model_dir, tmp_path, ca, AUTH__API_KEYS=keys, **audit) as answered:
        sent = (bearer(LAB), {"x-api-key": SCRAPER}, bearer(CHIEF), {"authorization": f"Bearer {LAB}A"}, {})
        assert [answered("/predict", client, PATIENTS[0], each) for each in sent] == [200, 403, 200, 401, 200]
        assert answered("/metrics", client, None, bearer(SCRAPER)) == 200
    callers = [json.loads(line)["caller"] for line in trail.read_text(encoding="utf-8").splitlines()]
    assert callers == ["key:lab", "key:chief", "certificate:lab"]


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
async def test_keys_that_should_not_sign_do_not(
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


ODD_SETS = [None, [], {}, "keys", 7, {"keys": None}, {"keys": {}}, {"keys": []}, {"keys": [None]}, {"keys": ["k1"]}]
ODD_SETS += [{"keys": [each]} for each in ({}, {"kid": "k1"}, {"kid": "k1", "kty": "RSA", "n": 7, "e": []})]
ODD_SETS += [{"keys": [{"kid": "k1", "kty": "EC", "crv": "P-256", "x": "AA", "y": None}]}, {"keys": [[["k1"]]]}]


@pytest.mark.parametrize("odd", ODD_SETS, ids=str)
async def test_an_odd_key_set_is_the_providers_trouble(provider: IdentityProvider, odd: object) -> None:
    """An unusable key set gives 503, never an internal error; cached keys stay valid."""
    now = [1000.0]
    interface, good, usual = tokens(provider, lambda: now[0]), provider.token(), provider.fetch_key_set
    provider.fetch_key_set = lambda: odd
    interface._fetch = provider.fetch_key_set
    with pytest.raises(ProblemError) as refused:
        await interface.caller(Request(good))
    assert (refused.value.status, refused.value.retry_seconds) == (503, 30.0)
    now[0] += 31
    interface._fetch = usual
    assert await interface.caller(Request(good)) is not None
    now[0] += 3600
    interface._fetch = lambda: odd
    assert await interface.caller(Request(good)) is not None
