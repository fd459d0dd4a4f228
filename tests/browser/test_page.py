"""Laws of the page, in a real browser on a real gateway."""

from __future__ import annotations

import json
import urllib.request

import pytest

from heartstream.demo.processes import Child, predict
from tests.browser.accessible import violations
from tests.browser.visit import Visit

LOW = {"age": 43, "sex": 0, "cp": 2, "trestbps": 118, "chol": 204, "fbs": 0, "restecg": 0} | {
    "thalach": 171, "exang": 0, "oldpeak": 0, "slope": 1, "ca": 0, "thal": 3,
}  # fmt: skip
OPTIONAL = [name for name in LOW if name not in {"age", "sex", "cp"}]


def fill(page, values: dict[str, float]) -> None:
    """Fill the form as a person does."""
    for name, value in values.items():
        radio = page.locator(f'input[type=radio][name="field-{name}"][value="{value}"]')
        if radio.count():
            radio.check()
        else:
            page.fill(f"#field-{name}", str(value))


def score(page) -> dict:
    """Press the button and return the body of the request."""
    with page.expect_request("**/predict") as sent:
        page.get_by_role("button", name="Score this patient").click()
    return json.loads(sent.value.post_data)


def test_the_shown_risk_is_that_of_the_gateway(visit: Visit, gateway: Child) -> None:
    """The page shows the risk, interval and reasons that `/predict` returns for the same record."""
    fill(visit.page, LOW)
    score(visit.page)
    visit.page.wait_for_selector("#risk")
    expected = predict(gateway.url, json.dumps({"patient_id": "p", **LOW}).encode())
    assert visit.page.inner_text("#risk") == f"{float(expected['risk']) * 100:.1f}%"
    assert visit.page.get_by_role("img", name="90% interval").count() == 1
    assert visit.page.locator(".reasons li").count() == len(expected["reasons"])
    assert visit.page.get_by_role("status").first.inner_text().startswith(f"Risk {expected['risk'] * 100:.1f}%")


def test_the_training_population_is_shown_with_the_risk(visit: Visit, gateway: Child) -> None:
    """It is shown with a score and above the live stream, in the words of the model directory."""
    with urllib.request.urlopen(f"{gateway.url}/model") as answer:
        population = json.loads(answer.read())["population"]
    assert population == "303 patients referred for coronary angiography at the Cleveland Clinic, 1981 to 1984"
    fill(visit.page, LOW)
    score(visit.page)
    visit.page.wait_for_selector("#risk")
    text = f"Trained on {population}. Not validated for other patients."
    assert visit.page.inner_text("#result .headline .population") == text
    assert visit.page.text_content("#live-population") == f"Risks by a model that was trained on {population}."


def test_a_single_label_is_explained_by_training_counts(visit: Visit, gateway: Child) -> None:
    """The page shows the text of `/model` for a single label in the patient's group, and what to measure next."""
    with urllib.request.urlopen(f"{gateway.url}/model") as answer:
        texts = json.loads(answer.read())["single_labels"]
    page = visit.page
    fill(page, LOW)
    score(page)
    page.wait_for_selector("#risk")
    assert page.inner_text(".verdict") == texts[0][0]
    assert "only 3 training patients with disease" in texts[0][0]
    assert page.locator(".next").count() == 0
    page.get_by_role("button", name="Little known").click()
    page.wait_for_selector(".next")
    assert page.locator(".next li").count() == 3
    assert "the rest is what the unknown fields could still show" in page.inner_text("#result")


def test_unknown_fields_are_sent_as_null(visit: Visit) -> None:
    """An empty field is sent as null, neither omitted nor zero, and the patient id is a placeholder."""
    fill(visit.page, {"age": 61, "sex": 1, "cp": 4})
    sent = score(visit.page)
    expected = {"patient_id": "page", "age": 61, "sex": 1, "cp": 4, **dict.fromkeys(OPTIONAL)}
    assert sent == expected
    visit.page.wait_for_selector("#risk")
    assert "Serum cholesterol" in visit.page.inner_text(".facts")


def test_a_field_can_be_made_unknown_again(visit: Visit) -> None:
    """Checking the "unknown" box empties the field, and typing a number unchecks the box."""
    box = visit.page.get_by_role("checkbox", name="Serum cholesterol is unknown")
    visit.page.fill("#field-chol", "240")
    assert not box.is_checked()
    box.check()
    assert visit.page.input_value("#field-chol") == ""


def test_an_invalid_value_is_reported_at_its_field(visit: Visit) -> None:
    """Each issue is shown at its input and in a summary that gets the focus, and there is no score."""
    page = visit.page
    fill(page, {**LOW, "age": 430, "chol": 5})
    score(page)
    page.wait_for_selector("#problems:focus")
    assert page.locator("#problems-list li").count() == 2
    assert page.inner_text("#field-age-error") == "Must be 18 to 110 years"
    assert "multiply by 38.67" in page.inner_text("#field-chol-error")
    assert page.get_attribute("#field-age", "aria-invalid") == "true"
    assert page.locator("#risk").count() == 0
    page.locator("#problems-list a").first.click()
    assert page.evaluate("document.activeElement.id") == "field-age"


def test_an_invalid_number_is_not_sent_as_null(visit: Visit) -> None:
    """A browser hides text that is not a number; the page must not send it as "not measured"."""
    fill(visit.page, LOW)
    visit.page.locator("#field-chol").fill("")
    visit.page.locator("#field-chol").press_sequentially("--")
    assert score(visit.page)["chol"] == ""
    visit.page.wait_for_selector("#field-chol-error:not([hidden])")


def test_the_form_is_built_from_the_feature_table(visit: Visit) -> None:
    """All 13 fields have an input with unit, training range and limits; only optional ones can be unknown."""
    page = visit.page
    assert page.locator("form .field").count() == 13
    assert page.inner_text("#field-trestbps-hint") == "Training patients: 94 to 200. Accepted: 50 to 300."
    assert page.get_by_role("checkbox").count() + page.locator("input[type=radio][value='']").count() == len(OPTIONAL)


def test_the_page_works_by_keyboard(visit: Visit) -> None:
    """Arrow keys switch tabs, Enter selects an example, and Enter in the form requests a score."""
    page = visit.page
    page.focus("#tab-score")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-live"
    assert page.is_visible("#live")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Low risk"
    page.keyboard.press("Enter")
    page.wait_for_selector("#risk")
    for _ in range(4):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "field-age"
    page.keyboard.press("ArrowUp")
    page.wait_for_selector("#stale:visible")
    page.keyboard.press("Enter")
    page.wait_for_selector("#stale", state="hidden")


def test_axe_reports_nothing(themed: Visit) -> None:
    """No part of the page violates a rule of axe-core, in light and dark, with a score and with errors."""
    page = themed.page
    page.get_by_role("button", name="Little known").click()
    page.wait_for_selector("#risk")
    assert violations(page) == []
    fill(page, {"age": 430})
    page.wait_for_selector("#stale:visible")
    assert violations(page) == []
    score(page)
    page.wait_for_selector("#problems:focus")
    assert violations(page) == []
    page.click("#tab-live")
    page.wait_for_selector("#live-off h3")
    assert violations(page) == []
    page.click("#tab-model")
    page.wait_for_selector("#card table")
    assert violations(page) == []


@pytest.mark.parametrize("width", [320, 390])
def test_it_fits_a_phone(visit: Visit, width: int) -> None:
    """Nothing has to be scrolled sideways."""
    page = visit.page
    page.set_viewport_size({"width": width, "height": 740})
    page.get_by_role("button", name="High risk").click()
    page.wait_for_selector("#risk")
    for tab, heading in (("score", "#result h3"), ("live", "#live-off h3"), ("model", "#card h3")):
        page.click(f"#tab-{tab}")
        page.wait_for_selector(heading)
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_the_model_card_is_rendered_without_images(visit: Visit) -> None:
    """Headings, tables and lists become HTML nodes, and no image and no Markdown syntax is left."""
    page = visit.page
    page.click("#tab-model")
    page.wait_for_selector("#card table")
    assert page.inner_text("#card h2").startswith("Model card")
    assert page.locator("#card img").count() == 0
    assert page.locator("#card li").count() > 3
    text = page.inner_text("#card")
    assert [mark for mark in ("](", "**", "|---", "![", "## ") if mark in text] == []


def test_html_in_the_model_card_is_not_rendered(visit: Visit) -> None:
    """HTML in a card is shown as text, and a `javascript:` link is not rendered as a link."""
    card = '# A <img src=x onerror="alert(1)">\n\n[run](javascript:alert(1)) [go](https://example.org/) `a|b`\n'
    visit.page.route("**/model/card", lambda route: route.fulfill(body=card, content_type="text/markdown"))
    visit.page.click("#tab-model")
    visit.page.wait_for_selector("#card a")
    assert visit.page.inner_text("#card h2") == 'A <img src=x onerror="alert(1)">'
    assert visit.page.locator("#card a").evaluate_all("nodes => nodes.map(node => node.href)") == [
        "https://example.org/"
    ]


def test_the_model_card_has_plots_of_the_report(visit: Visit) -> None:
    """Each pattern of missing fields is plotted with its sensitivity, with a text for screen readers."""
    page = visit.page
    page.click("#tab-model")
    page.wait_for_selector(".plot svg")
    with urllib.request.urlopen(f"{visit.url}/model/report") as response:
        report = json.load(response)
    label = page.locator(".plot [role=img]").last.get_attribute("aria-label") or ""
    for name, models in report["missing_fields"].items():
        found = models[report["selection"]["best"]]["figures"]["recall"]["value"]
        assert f"{name}: {round(found * 100)}%" in label
    assert page.locator(".plot .one circle").count() >= len(report["missing_fields"])


def test_a_disabled_live_view_shows_how_to_enable_it(visit: Visit) -> None:
    """The tab names the setting, and does not subscribe to the stream."""
    visit.page.click("#tab-live")
    visit.page.wait_for_selector("#live-off h3")
    assert "HEARTSTREAM_GATEWAY__LIVE=true" in visit.page.inner_text("#live-off")
    assert [url for url in visit.requests if "/stream/events" in url] == []


def test_the_page_contacts_no_other_host_and_stores_nothing(visit: Visit) -> None:
    """No tab requests another host, writes to the console, or puts a patient's value in a URL or in storage."""
    page = visit.page
    fill(page, {**LOW, "chol": 987})
    score(page)
    page.wait_for_selector("#risk")
    page.click("#tab-live")
    page.wait_for_selector("#live-off h3")
    page.click("#tab-model")
    page.wait_for_selector("#card table")
    assert (visit.foreign_requests(), visit.console) == ([], [])
    assert [url for url in [*visit.requests, page.url] if "987" in url.removeprefix(visit.url)] == []
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_inline_script_does_not_run(visit: Visit) -> None:
    """The Content-Security-Policy has no 'unsafe-inline', and the browser enforces it."""
    with urllib.request.urlopen(visit.url) as response:
        headers = response.headers
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
    assert (headers["X-Content-Type-Options"], headers["Referrer-Policy"]) == ("nosniff", "no-referrer")

    def with_inline_script(route) -> None:
        response = route.fetch()
        route.fulfill(response=response, body=response.text().replace("<body>", "<body><script>var ran = 1</script>"))

    visit.page.route(visit.url + "/", with_inline_script)
    visit.open()
    assert "var ran = 1" in visit.page.content()
    assert visit.page.evaluate("typeof ran") == "undefined"
    assert any("Content Security Policy" in line for line in visit.console)


def test_the_medical_disclaimer_is_always_visible(visit: Visit) -> None:
    """The notice "Not a medical device" stays in view on every tab, at any scroll position."""
    page = visit.page
    for tab in ("score", "live", "model"):
        page.click(f"#tab-{tab}")
        page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
        notice = page.get_by_role("contentinfo")
        assert notice.inner_text() == "Research and education only. Not a medical device."
        assert notice.evaluate("node => node.getBoundingClientRect().bottom <= innerHeight + 1")
