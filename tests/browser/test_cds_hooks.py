"""Cards in a small EHR of another origin, in a real browser: CORS lets the named origin in, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from heartstream.demo.processes import Child, running
from runtime.ports import free_port
from schemas.cds_hooks.service import observed_fields
from tests.browser.accessible import violations
from tests.fakes.ehr.patients import NOT_REFERRED, PATIENTS, REFERRED
from tests.fakes.ehr.server import Ehr, running_ehr
from tests.support.calls import ask
from tests.support.fhir_bundles import UCI_FHIR


@pytest.fixture(scope="module")
def ehr() -> Iterator[Ehr]:
    with running_ehr(PATIENTS) as ehr:
        yield ehr


@pytest.fixture(scope="module")
def hooks(ehr: Ehr, model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    """A gateway that the EHR's origin may call; the page is the link of its cards."""
    url = f"http://127.0.0.1:{(port := free_port())}"
    settings = {
        "MODEL__PATH": str(model_dir),
        "GATEWAY__PORT": str(port),
        "GATEWAY__ALLOWED_ORIGINS": f"http://127.0.0.1:{ehr.server_port}",
        "CDS_HOOKS__ENABLED": "true",
        "GATEWAY__PUBLIC_URL": url,
    }
    log = tmp_path_factory.mktemp("hooks") / "gateway.log"
    with running("gateway", {f"HEARTSTREAM_{name}": value for name, value in settings.items()}, url, log) as child:
        child.await_ready()
        yield child


@contextmanager
def opened(browser, url: str) -> Iterator:
    """Open a record, and wait until its cards are shown or the call has failed; yields the page and its console."""
    context = browser.new_context()
    page, console = context.new_page(), []
    page.on("console", lambda message: console.append(message.text))
    page.goto(url)
    page.locator("#status", has_text=":").or_(page.locator("#status", has_text="Complete.")).wait_for()
    yield page, console
    context.close()


def calls(hooks: Child) -> list[str]:
    """Return how many calls of the service were answered, by status; preflight requests are not calls."""
    lines = ask(hooks, "GET", "/metrics").body.decode().splitlines()
    start = 'heartstream_http_requests_total{route="/cds-services/heart-disease-risk",'
    return [line for line in lines if line.startswith(start) and 'status="204"' not in line]


def test_the_card_is_shown_in_the_record(browser, ehr: Ehr, hooks: Child) -> None:
    """The EHR answers the templates; of 13 pressures it sends the ten latest, the last of which is used."""
    ehr.searched.clear()
    with opened(browser, ehr.page(hooks.url, REFERRED)) as (page, console):
        card = page.locator("article")
        assert (card.count(), card.get_attribute("class"), console) == (1, "info", [])
        assert card.locator("h2").inner_text().startswith("Risk of coronary heart disease: ")
        lines = card.locator("li").all_inner_texts()
        assert [line for line in lines if line.startswith("Used: ")] != []
        assert "resting systolic blood pressure at admission of 2026-09-14" in " ".join(lines)
        assert [line for line in lines if line.startswith("The search")] == []
        assert [line for line in lines if "\\" in line] == []
        assert violations(page) == []
    assert len(ehr.searched) == len(observed_fields(UCI_FHIR)) + 1


def test_open_questions_lead_to_the_page(browser, ehr: Ehr, hooks: Child) -> None:
    """A patient as EHRs have them has no chest pain type: the card asks for it, and its link opens the form."""
    with opened(browser, ehr.page(hooks.url, NOT_REFERRED)) as (page, _):
        assert page.locator("article h2").inner_text().endswith(": answer 1 question to get a risk")
        assert page.locator("article li").first.inner_text().startswith("Chest pain type: typical angina, ")
        page.get_by_role("link", name="Answer 1 question").click()
        page.wait_for_selector("html[data-ready]")
        assert page.url == f"{hooks.url}/"


def test_dismissing_a_card_is_counted(browser, ehr: Ehr, hooks: Child) -> None:
    """With the reason that was chosen."""
    with opened(browser, ehr.page(hooks.url, REFERRED)) as (page, console):
        page.get_by_label("Reason").select_option(label="Clinical judgement differs")
        page.get_by_role("button", name="Dismiss").click()
        page.get_by_text("Dismissed.").wait_for()
        assert (page.locator("article").count(), console) == (0, [])
    metrics = ask(hooks, "GET", "/metrics").body.decode()
    assert 'heartstream_cds_feedback_total{outcome="overridden",reason="disagree"} 1.0' in metrics


def test_another_origin_gets_nothing(browser, ehr: Ehr, hooks: Child) -> None:
    """The same page under another host name: the browser keeps the discovery from it, and sends no call."""
    before = calls(hooks)
    with opened(browser, ehr.page(hooks.url, REFERRED, host="localhost")) as (page, console):
        assert page.locator("#status").inner_text().startswith("Failed: ")
        assert page.locator("article").count() == 0
        assert any("blocked by CORS policy" in line for line in console)
        # A call without the discovery, as a page would make that knows the URL.
        script = """url => fetch(url, {method: "POST", headers: {"Content-Type": "application/json"}, body: "{}"})
            .then(() => "sent", error => error.name)"""
        assert page.evaluate(script, f"{hooks.url}/cds-services/heart-disease-risk") == "TypeError"
    assert calls(hooks) == before
