"""Laws of a gateway under a path prefix, in a real browser behind a real proxy: it works as at the root."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heartstream.demo.processes import Child
from tests.browser.visit import READY, Visit
from tests.fakes.prefix_proxy import below_prefix


@pytest.fixture
def prefixed(browser, gateway: Child) -> Iterator[tuple[Visit, list[str]]]:
    """A visit to the gateway through the proxy, and the requested paths outside the prefix."""
    context = browser.new_context()
    with below_prefix(gateway.url) as (url, outside):
        yield Visit(context.new_page(), url), outside
    context.close()


@pytest.mark.parametrize("entry", ["", "../hs"])
def test_the_page_works_below_a_prefix(prefixed: tuple[Visit, list[str]], entry: str) -> None:
    """Form, score, FHIR, model card and live view work, and no request leaves the prefix."""
    visit, outside = prefixed
    visit.page.goto(visit.url + entry)
    visit.page.wait_for_selector(READY)
    visit.page.get_by_role("button", name="High risk").click()
    visit.page.get_by_role("button", name="Score this patient").click()
    visit.page.wait_for_selector("#risk")
    visit.page.set_input_files("#bundle", "schemas/examples/fhir/v1/hospitals/synthea-as-it-is.json")
    visit.page.wait_for_selector("#bundle-notes:not([hidden])")
    visit.page.get_by_role("tab", name="Model card").click()
    visit.page.wait_for_selector("#card h3")
    visit.page.get_by_role("tab", name="Live stream").click()
    visit.page.get_by_text("The live view is switched off.").wait_for()
    assert (outside, visit.console) == ([], [])


def test_the_api_documentation_works_below_a_prefix(prefixed: tuple[Visit, list[str]]) -> None:
    """Swagger UI loads the OpenAPI document, and sends its sample request below the prefix."""
    visit, outside = prefixed
    visit.page.goto(visit.url + "docs")
    operation = visit.page.locator("#operations-scores-predict")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Execute").click()
    operation.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    assert (outside, f"{visit.url}predict" in visit.requests) == ([], True)
