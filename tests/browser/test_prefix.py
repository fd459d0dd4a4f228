"""Laws of a gateway below a path prefix, in a real browser behind a real proxy: everything works as at the root."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heartstream.demo.processes import Child
from tests.browser.visit import READY, Visit
from tests.fakes.prefix_proxy import below_prefix


@pytest.fixture
def prefixed(browser, gateway: Child) -> Iterator[tuple[Visit, list[str]]]:
    """A visit to the gateway through the proxy, and the paths that led out of the prefix."""
    context = browser.new_context()
    with below_prefix(gateway.url) as (url, astray):
        yield Visit(context.new_page(), url), astray
    context.close()


@pytest.mark.parametrize("entry", ["", "../hs"])
def test_the_page_scores_below_a_prefix(prefixed: tuple[Visit, list[str]], entry: str) -> None:
    """Form, score, model card and the question for the stream; nothing is asked for outside of the prefix."""
    visit, astray = prefixed
    visit.page.goto(visit.url + entry)
    visit.page.wait_for_selector(READY)
    visit.page.get_by_role("button", name="High risk").click()
    visit.page.get_by_role("button", name="Score this patient").click()
    visit.page.wait_for_selector("#risk")
    visit.page.get_by_role("tab", name="Model card").click()
    visit.page.wait_for_selector("#card h3")
    visit.page.get_by_role("tab", name="Live stream").click()
    visit.page.get_by_text("The live view is switched off.").wait_for()
    assert (astray, visit.said) == ([], [])


def test_the_documentation_is_read_and_tried_below_a_prefix(prefixed: tuple[Visit, list[str]]) -> None:
    """Swagger UI finds the document, and sends a record to where the document came from."""
    visit, astray = prefixed
    visit.page.goto(visit.url + "docs")
    operation = visit.page.locator("#operations-scores-predict")
    operation.locator(".opblock-summary-control").click()
    operation.get_by_role("button", name="Execute").click()
    operation.locator(".live-responses-table .response-col_status", has_text="200").wait_for()
    assert (astray, f"{visit.url}predict" in visit.asked) == ([], True)
