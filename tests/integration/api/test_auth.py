"""API keys and scopes at the gateway."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import pytest

from heartstream.demo.processes import Child
from tests.support.calls import PATIENTS, ask
from tests.support.gateway_auth import (
    CHIEF,
    CHIEF_LINE,
    LAB,
    LAB_LINE,
    PUBLIC_PATHS,
    SCRAPER,
    SCRAPER_LINE,
    bearer,
    predict_status,
)
from tests.support.workers import Starter

PROTECTED_PATHS = [
    "/",
    "/model",
    "/model/card",
    "/metrics",
    "/openapi.json",
    "/asyncapi.json",
    "/docs",
    "/v2",
    "/no/such/path",
]


@pytest.fixture(scope="module")
def guarded(start: Starter, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    keys = tmp_path_factory.mktemp("keys") / "keys.txt"
    keys.write_text(f"{LAB_LINE}\n{SCRAPER_LINE}\n{CHIEF_LINE}\n", encoding="utf-8")
    with start(AUTH__API_KEYS_FILE=str(keys)) as gateway:
        yield gateway
    assert not [key for key in (LAB, SCRAPER, CHIEF) if key in gateway.log.read_text(encoding="utf-8")]


def test_only_health_is_public(guarded: Child) -> None:
    """Without credentials only probes are answered; everything else is 401 with WWW-Authenticate."""
    assert [ask(guarded, "GET", path).status for path in PUBLIC_PATHS] == [200] * len(PUBLIC_PATHS)
    found = [ask(guarded, "GET", path) for path in PROTECTED_PATHS] + [ask(guarded, "POST", "/predict", PATIENTS[0])]
    assert [each.status for each in found] == [401] * len(found)
    assert all("Bearer" in each.headers["WWW-Authenticate"] for each in found)


@pytest.mark.parametrize(
    "headers",
    [bearer(LAB), {"X-API-Key": LAB}, {"Authorization": "Basic " + base64.b64encode(f"x:{LAB}".encode()).decode()}],
    ids=["bearer", "x-api-key", "basic"],
)
def test_a_key_is_accepted_in_each_header(guarded: Child, headers: dict[str, str]) -> None:
    """As a bearer token, as X-API-Key and as a basic password."""
    assert predict_status(guarded, headers) == 200


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
def test_other_credentials_are_refused(guarded: Child, headers: dict[str, str]) -> None:
    """Part of a key, its hash, or another scheme gives 401 without a hint of what was wrong."""
    found = ask(guarded, "POST", "/predict", PATIENTS[0], headers)
    assert (found.status, found.json["detail"]) == (
        401,
        "Authentication required: send an API key, a token or a client certificate.",
    )


def test_scopes_are_enforced(guarded: Child) -> None:
    """`predict` reads no metrics and `metrics` scores nothing; `admin` may do both; documents are open to all three."""
    keys = (LAB, SCRAPER, CHIEF)
    assert [predict_status(guarded, bearer(key)) for key in keys] == [200, 403, 200]
    assert [ask(guarded, "GET", "/metrics", None, bearer(key)).status for key in keys] == [403, 200, 200]
    assert [ask(guarded, "GET", "/openapi.json", None, bearer(key)).status for key in keys] == [200, 200, 200]


def test_every_caller_has_its_own_bucket(start: Starter) -> None:
    """Rate limits apply per key, not per address: callers behind one proxy do not affect each other."""
    with start(
        AUTH__API_KEYS=f"{LAB_LINE} {CHIEF_LINE}", GATEWAY__RECORDS_PER_SECOND="1", GATEWAY__BURST_RECORDS="2"
    ) as gateway:
        assert [predict_status(gateway, bearer(LAB)) for _ in range(3)] == [200, 200, 429]
        assert predict_status(gateway, bearer(CHIEF)) == 200
