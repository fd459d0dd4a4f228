"""Laws of SMART App Launch, in a real browser at a real gateway, with an EHR that checks each step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from heartstream.demo.processes import Child
from tests.browser.accessible import violations
from tests.browser.launches import STORED, serving_ehr
from tests.browser.visit import READY, Visit
from tests.fakes.prefix_proxy import below_prefix
from tests.fakes.smart_server import CLIENT_ID, Ehr
from tests.support.ehr_patients import PATIENT

ERROR = "#ehr [role=alert]"


@pytest.fixture(scope="module")
def launchable(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Child, Ehr]]:
    """A gateway, and an EHR without a FHIR server."""
    with serving_ehr(model_dir, tmp_path_factory.mktemp("smart"), None) as both:
        yield both


@pytest.fixture
def ehr(launchable: tuple[Child, Ehr]) -> Ehr:
    launchable[1].reset()
    return launchable[1]


@pytest.fixture
def at(browser, launchable: tuple[Child, Ehr]) -> Iterator[Visit]:
    context = browser.new_context()
    yield Visit(context.new_page(), launchable[0].url)
    context.close()


def error_of(visit: Visit, url: str) -> str:
    """Open a URL, wait for the error of the launch, and return it; nothing of the launch is left."""
    visit.page.goto(url)
    visit.page.wait_for_selector(ERROR)
    assert visit.page.evaluate(STORED) == [0, 0, ""]
    assert urlsplit(visit.page.url).query == ""
    return visit.page.inner_text(ERROR)


def test_the_ehr_of_these_tests_checks_each_step(ehr: Ehr) -> None:
    """It refuses an authorization request or a token request in which one parameter is wrong, and a code used twice."""
    ehr.picked = PATIENT
    right = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": ehr.redirect_uri,
        "scope": "launch/patient",
        "state": "s" * 43,
        "aud": ehr.issuer,
        "code_challenge": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
        "code_challenge_method": "S256",
    }

    def response_to(**changes: str) -> str | None:
        return ehr.authorize(right | changes)

    assert [response_to(client_id="x"), response_to(redirect_uri="https://evil.example/")] == [None, None]
    for change in ({"aud": "x"}, {"state": "x"}, {"code_challenge_method": "plain"}, {"scope": "launch"}):
        assert "error=invalid_request" in str(response_to(**change))
    form = {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "redirect_uri": ehr.redirect_uri,
        "code_verifier": "",
    }
    for change in ({"code_verifier": "x"}, {"redirect_uri": "x"}, {"client_id": "x"}, {"grant_type": "x"}):
        (code,) = parse_qs(urlsplit(str(response_to())).query)["code"]
        assert ehr.exchange({**form, "code": code, **change}) == (400, {"error": "invalid_grant"})
    (code,) = parse_qs(urlsplit(str(response_to())).query)["code"]
    statuses = [ehr.exchange({**form, "code": code})[0] for _ in range(2)]
    assert statuses == [200, 400]


def test_an_authorization_request_has_what_smart_demands(at: Visit, ehr: Ehr) -> None:
    """Code, S256, audience, state, launch and the scopes of the server's version of SMART; nothing secret is stored."""
    error_of(at, ehr.launch_url(at.url, PATIENT))
    asked = ehr.authorized[-1]
    assert (asked["response_type"], asked["aud"], asked["code_challenge_method"]) == ("code", ehr.issuer, "S256")
    assert asked["scope"] == "launch openid fhirUser patient/*.rs"
    ehr.configuration_changes = {"capabilities": ["launch-ehr", "client-public"]}
    error_of(at, ehr.launch_url(at.url, PATIENT))
    assert ehr.authorized[-1]["scope"] == "launch openid fhirUser patient/*.read"
    assert len({asked["state"], asked["code_challenge"], ehr.authorized[-1]["state"]}) == 3


def test_a_foreign_server_cannot_launch_the_page(at: Visit, ehr: Ehr) -> None:
    """A server that is not listed gets no request, also if its address begins like that of a listed one."""
    for issuer in (
        "https://evil.example/fhir",
        f"{ehr.issuer}-evil",
        f"{ehr.issuer}@evil.example",
        "javascript:alert(1)",
        "",
    ):
        text = error_of(at, f"{at.url}/launch?{urlencode({'iss': issuer, 'launch': 'x'})}")
        assert "may not be opened by that server" in text
        assert "HEARTSTREAM_SMART__ISSUERS" in text
    assert at.foreign_requests() == []


def test_a_wrong_state_is_refused(at: Visit, ehr: Ehr) -> None:
    """A response that this tab did not ask for is not used, and what was stored for the true one is removed."""
    at.page.route(
        f"{ehr.login_origin}/authorize*", lambda route: route.fulfill(body="asked", content_type="text/plain")
    )
    at.page.goto(ehr.launch_url(at.url, PATIENT))
    at.page.wait_for_url(f"{ehr.login_origin}/authorize*")
    at.requests.clear()
    text = error_of(at, f"{at.url}/?code=stolen&state=guessed")
    assert "not that of a launch in this tab" in text
    assert at.foreign_requests() == []


def test_the_response_works_once(at: Visit, ehr: Ehr) -> None:
    """The same response is refused when it is opened again."""
    error_of(at, ehr.launch_url(at.url, PATIENT))
    (response,) = [url for url in at.requests if url.startswith(f"{at.url}/?")]
    assert "not that of a launch in this tab" in error_of(at, response)


OTHER_ISSUER = {
    "response_changes": {"iss": "https://other.example"},
    "configuration_changes": {"issuer": "https://login.example"},
}
OTHER_TOKENS = {"token_endpoint": "https://login.example/token"}


@pytest.mark.parametrize(
    ("change", "message", "advice"),
    [
        ({"denies": True}, "did not permit access; nothing was read", "confirm, or fill in the form"),
        ({"expires_codes": True}, "authorization has expired", "from the EHR again"),
        ({"token_changes": {"patient": None}}, "did not say which patient", "Open the patient's chart"),
        ({"token_changes": {"access_token": "unknown"}}, "authorization by 127.0.0.1", "from the EHR again"),
        (
            {"grants": "launch patient/Observation.rs"},
            "does not permit this page to read",
            "scopes to read Patient and",
        ),
        (OTHER_ISSUER, "another authorization server", "from the EHR again"),
        ({"response_changes": {"error": "invalid_scope"}}, "launch: invalid_scope", "how this page is registered"),
        ({"cors": False}, "does not let this page read", "allow requests of the origin http://127.0.0.1"),
        (
            {"configuration_changes": OTHER_TOKENS},
            "may not contact",
            "add https://login.example to HEARTSTREAM_SMART__T",
        ),
        ({"configuration_changes": {"authorization_endpoint": "javascript:alert(1)"}}, "no SMART config", "PKCE"),
        ({"configuration_changes": {"code_challenge_methods_supported": ["plain"]}}, "no SMART config", "PKCE"),
    ],
)
def test_each_error_says_what_to_do(at: Visit, ehr: Ehr, change: dict, message: str, advice: str) -> None:
    """The page shows what went wrong and the next step, and the form can be used."""
    for name, value in change.items():
        setattr(ehr, name, value)
    text = error_of(at, ehr.launch_url(at.url, PATIENT))
    assert message in text
    assert advice in text
    assert violations(at.page) == []
    at.page.get_by_role("button", name="Low risk").click()
    at.page.get_by_role("button", name="Score this patient").click()
    at.page.wait_for_selector("#risk")


def test_an_unreachable_server_is_named(at: Visit, ehr: Ehr) -> None:
    """A server that does not answer is not mistaken for one that forbids to read."""
    at.page.route(f"{ehr.issuer}/**", lambda route: route.abort("connectionrefused"))
    text = error_of(at, ehr.launch_url(at.url, PATIENT))
    assert f"{urlsplit(ehr.issuer).netloc} cannot be reached" in text


def test_it_is_launched_below_a_path_prefix(at: Visit, ehr: Ehr, monkeypatch: pytest.MonkeyPatch) -> None:
    """Launch URL and redirect URI are below the prefix, and no request leaves it."""
    with below_prefix(at.url) as (url, outside):
        monkeypatch.setattr(ehr, "redirect_uri", url)
        assert "answered with an error (404)" in error_of(at, ehr.launch_url(url.rstrip("/"), PATIENT))
        assert (at.page.url, outside) == (url, [])


def test_the_browser_may_contact_only_the_ehr(at: Visit, ehr: Ehr) -> None:
    """The policy names the origins of issuer and token endpoint, and the browser enforces it."""
    response = at.page.goto(at.url)
    policy = response.headers["content-security-policy"]
    assert f"connect-src 'self' {ehr.fhir.origin} {ehr.login_origin};" in policy
    at.page.wait_for_selector(READY)
    fetched = at.page.evaluate("fetch('https://evil.example/').then(() => 'sent', () => 'blocked')")
    assert (fetched, at.foreign_requests()) == ("blocked", [])
