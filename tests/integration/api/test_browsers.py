"""What other web pages can do with a gateway, and what browsers may cache of its responses."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping

import pytest

from api.security.auth import new_key
from heartstream.demo.processes import Child
from runtime.ports import free_port
from tests.support.calls import JSON, LINES, PATIENTS, ask, connected, everything
from tests.support.fhir_bundles import OPERATION
from tests.support.workers import Starter

ALLOWED = "https://ehr.example.org"


@pytest.fixture(scope="module")
def known(start: Starter) -> Iterator[Child]:
    """A gateway with a public host name that allows one other origin."""
    with start(GATEWAY__ALLOWED_HOSTS="hs.example.org, other.example.org", GATEWAY__ALLOWED_ORIGINS=ALLOWED) as gateway:
        yield gateway


def test_no_response_with_a_patient_may_be_cached(gateway: Child) -> None:
    """Scores, streams, bundles, frames, tensors, refusals and non-HTTP have no-store and nosniff."""
    name = ask(gateway, "GET", "/model").json["model"]["name"]
    tensors = {"inputs": [{"name": "record", "shape": [1], "datatype": "BYTES", "data": [PATIENTS[0].decode()]}]}
    asked = [
        ("/predict", PATIENTS[0], JSON),
        ("/predict", b"{}", JSON),
        ("/predict", b"x" * 200_000, JSON),
        ("/predict/batch", b"[" + PATIENTS[0] + b"]", JSON),
        ("/predict/batch", PATIENTS[0], LINES),
        ("/invocations", json.dumps({"instances": [json.loads(PATIENTS[0])]}).encode(), JSON),
        ("/invocations", b"{}", JSON),
        (f"/v2/models/{name}/infer", json.dumps(tensors).encode(), JSON),
        (OPERATION, b"{}", JSON),
        ("/no/such/path", PATIENTS[0], JSON),
    ]
    found = [ask(gateway, "POST", path, body, headers) for path, body, headers in asked]
    assert [each.status for each in found] == [200, 422, 413, 200, 200, 200, 400, 200, 400, 404]
    assert {(each.headers["Cache-Control"], each.headers["X-Content-Type-Options"]) for each in found} == {
        ("no-store", "nosniff")
    }
    with connected(gateway) as connection:
        connection.sendall(b"no HTTP\r\n\r\n")
        raw = everything(connection)
    assert (b"Cache-Control: no-store\r\n" in raw, b"X-Content-Type-Options: nosniff\r\n" in raw) == (True, True)


def test_no_ehr_can_launch_the_page_by_default(gateway: Child) -> None:
    """Without settings there is no launch URL, and the page may contact only its own origin."""
    assert ask(gateway, "GET", "/launch?iss=https://ehr.example/fhir&launch=x").status == 404
    assert (ask(gateway, "GET", "/smart").json["issuers"], ask(gateway, "GET", "/smart").json["origins"]) == ([], [])
    assert "connect-src 'self'; " in ask(gateway, "GET", "/").headers["Content-Security-Policy"]


def test_static_responses_may_be_cached(gateway: Child) -> None:
    """Static files contain no patient data; browsers revalidate them."""
    for path in ("/", "/page/page.js", "/fields", "/smart", "/docs", "/openapi.json"):
        found = ask(gateway, "GET", path).headers
        assert (found["Cache-Control"], found["X-Content-Type-Options"]) == ("no-cache", "nosniff")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[broken"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://hs.example.org"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Origin": "http://hs.example.org"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Origin": ALLOWED}, 200),
        ({"Origin": ALLOWED.upper()}, 200),
        ({}, 200),
    ],
)
@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
def test_pages_of_other_origins_cannot_post(known: Child, headers: Mapping[str, str], status: int, kind: str) -> None:
    """Only our own pages and allowed origins may post; programs send no origin and are not restricted."""
    sent = {"Host": "hs.example.org", "Content-Type": kind, **headers}
    assert ask(known, "POST", "/predict", PATIENTS[0], sent).status == status


def test_links_from_other_sites_work(known: Child) -> None:
    """Cross-site reads are answered, but without CORS headers no page can read them."""
    found = ask(known, "GET", "/", None, {"Sec-Fetch-Site": "cross-site", "Host": "hs.example.org"})
    assert (found.status, "Access-Control-Allow-Origin" in found.headers) == (200, False)


INSIDE = ["127.0.0.1:1", "[::1]:8000", "10.1.2.3:8000", "localhost:8000", "heartstream-gateway:80", "gateway"]
INSIDE += ["heartstream-gateway.heartstream.svc", "heartstream-gateway.heartstream.svc.cluster.local:80", "LOCALHOST."]
FOREIGN = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "1.2.3.4.5",
    "a.b@c",
]


def test_an_unknown_host_name_is_refused(gateway: Child, known: Child) -> None:
    """Unknown host names get 421 (DNS rebinding), for reads as well; addresses and internal names are accepted."""
    for host in INSIDE:
        assert ask(gateway, "POST", "/predict", PATIENTS[0], {"Host": host}).status == 200
    for host in FOREIGN:
        refused = ask(gateway, "POST", "/predict", PATIENTS[0], {"Host": host})
        assert (refused.status, refused.kind, "evil" in refused.json["detail"]) == (
            421,
            "application/problem+json",
            False,
        )
        assert ask(gateway, "GET", "/model", None, {"Host": host}).status == 421
    assert [ask(known, "GET", "/model", None, {"Host": host}).status for host in ("hs.example.org", FOREIGN[0])] == [
        200,
        421,
    ]


def test_probes_are_answered_under_any_host_name(gateway: Child) -> None:
    """Load balancers may use any host name, as health contains no patient data."""
    for path in ("/health/startup", "/health/live", "/health/ready", "/ping", "/v2/health/ready"):
        assert ask(gateway, "GET", path, None, {"Host": "lb.example.com"}).status == 200


def test_a_gateway_with_keys_accepts_any_host_name_until_some_are_set(start: Starter) -> None:
    """With authentication a rebinding page has no credentials, so allowed hosts are optional."""
    key, line = new_key("lab", ["predict"])
    sent = {"Authorization": f"Bearer {key}", "Host": "heartstream.example.com"}
    with start(AUTH__API_KEYS=line) as gateway:
        assert ask(gateway, "POST", "/predict", PATIENTS[0], sent).status == 200
    with start(AUTH__API_KEYS=line, GATEWAY__ALLOWED_HOSTS="hs.example.org") as gateway:
        assert ask(gateway, "POST", "/predict", PATIENTS[0], sent).status == 421
    with start(GATEWAY__ALLOWED_HOSTS="*") as gateway:
        assert ask(gateway, "POST", "/predict", PATIENTS[0], {"Host": "heartstream.example.com"}).status == 200


@pytest.mark.parametrize("coding", ["zstd", "br", "compress", "gzip, gzip", "Zebra-4711"])
def test_an_unsupported_coding_is_reported_with_the_supported_ones(gateway: Child, coding: str) -> None:
    """415 with Accept-Encoding (RFC 9110), not an issue of the record."""
    found = ask(gateway, "POST", "/predict", PATIENTS[0], {"Content-Encoding": coding})
    accepted = found.headers["Accept-Encoding"].split(", ")
    assert (found.status, found.kind, accepted) == (415, "application/problem+json", ["gzip", "x-gzip", "deflate"])
    assert all(each in found.json["detail"] for each in accepted)


def test_a_supported_coding_changes_nothing(gateway: Child) -> None:
    """`x-gzip` is gzip by RFC 9110; content codings are case-insensitive."""
    expected = ask(gateway, "POST", "/predict", PATIENTS[0]).body
    for coding, packed in (("gzip", gzip.compress), ("X-GZip", gzip.compress), ("deflate", zlib.compress)):
        found = ask(gateway, "POST", "/predict", packed(PATIENTS[0]), {"Content-Encoding": coding})
        assert (found.status, found.body) == (200, expected)


def test_errors_of_the_http_library_are_problem_documents(gateway: Child, start: Starter) -> None:
    """417, and the telemetry port's 501, 400 and 414, are problem documents that quote nothing."""
    expected = ask(gateway, "POST", "/predict", b"{}", {"Expect": "Zebra-4711"})
    port = free_port()
    with start(GATEWAY__METRICS_PORT=str(port)) as child:
        inside = Child("gateway", child.process, f"http://127.0.0.1:{port}", child.log)
        others = [
            ask(inside, "ZEBRA", "/health"),
            ask(inside, "POST", "/Zebra-4711", b"{}"),
            ask(inside, "GET", "/" + "Zebra" * 20_000),
        ]
        assert ask(inside, "HEAD", "/health").status == 501
    for found, status in zip([expected, *others], [417, 501, 501, 414], strict=True):
        assert (found.status, found.kind, found.json["status"]) == (status, "application/problem+json", status)
        assert b"zebra" not in found.body.lower()
