"""Laws of the page, in a real browser on a real gateway."""

from __future__ import annotations

import json
import urllib.request

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
    """Press the button; return what was sent."""
    with page.expect_request("**/predict") as sent:
        page.get_by_role("button", name="Score this patient").click()
    return json.loads(sent.value.post_data)


def test_the_shown_risk_is_that_of_the_gateway(visit: Visit, gateway: Child) -> None:
    """What stands on the page is what `/predict` says of the same record."""
    fill(visit.page, LOW)
    score(visit.page)
    visit.page.wait_for_selector("#risk")
    expected = predict(gateway.url, json.dumps({"patient_id": "p", **LOW}).encode())
    assert visit.page.inner_text("#risk") == f"{float(expected['risk']) * 100:.1f}%"
    assert visit.page.get_by_role("img", name="90% interval").count() == 1
    assert visit.page.locator(".reasons li").count() == len(expected["reasons"])
    assert visit.page.get_by_role("status").first.inner_text().startswith(f"Risk {expected['risk'] * 100:.1f}%")


def test_whom_the_model_was_trained_on_stands_beside_the_risk(visit: Visit, gateway: Child) -> None:
    """Next to a score and above the live stream, in the words of the model directory; not in a footer alone."""
    with urllib.request.urlopen(f"{gateway.url}/model") as answer:
        population = json.loads(answer.read())["population"]
    assert population == "303 patients referred for coronary angiography at the Cleveland Clinic, 1981 to 1984"
    fill(visit.page, LOW)
    score(visit.page)
    visit.page.wait_for_selector("#risk")
    assert visit.page.inner_text("#result .population") == f"Trained on {population}."
    assert visit.page.text_content("#live-population") == f"Risks by a model that was trained on {population}."


def test_a_single_label_is_worded_by_what_training_counted(visit: Visit, gateway: Child) -> None:
    """The page shows what `/model` says of a single label in the patient's group, and what to measure next."""
    with urllib.request.urlopen(f"{gateway.url}/model") as answer:
        texts = json.loads(answer.read())["single_labels"]
    page = visit.page
    fill(page, LOW)
    score(page)
    page.wait_for_selector("#risk")
    assert page.inner_text(".verdict") == texts[0][0]
    assert "only 3 training patients with disease" in texts[0][0]
    assert page.locator(".next").count() == 0
    page.click("[data-example=sparse]")
    score(page)
    page.wait_for_selector(".next")
    assert page.locator(".next li").count() == 3
    assert "the rest is what the missing fields could still show" in page.inner_text("#result")


def test_unknown_fields_are_sent_as_null(visit: Visit) -> None:
    """What is not filled in is null, not left out and not zero; no id is sent."""
    fill(visit.page, {"age": 61, "sex": 1, "cp": 4})
    sent = score(visit.page)
    expected = {"patient_id": "page", "age": 61, "sex": 1, "cp": 4, **dict.fromkeys(OPTIONAL)}
    assert sent == expected
    visit.page.wait_for_selector("#risk")
    assert "Serum cholesterol" in visit.page.inner_text(".facts")


def test_a_field_can_be_made_unknown_again(visit: Visit) -> None:
    """The box empties the number, and a number clears the box."""
    box = visit.page.get_by_role("checkbox", name="Serum cholesterol is unknown")
    visit.page.fill("#field-chol", "240")
    assert not box.is_checked()
    box.check()
    assert visit.page.input_value("#field-chol") == ""


def test_an_illegal_value_is_told_beside_its_field(visit: Visit) -> None:
    """Each fault stands at its input and in a summary that has the focus; nothing is scored."""
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


def test_what_is_no_number_is_not_taken_for_unknown(visit: Visit) -> None:
    """A browser hides what is no number; the page must not turn that into "not measured"."""
    fill(visit.page, LOW)
    visit.page.locator("#field-chol").fill("")
    visit.page.locator("#field-chol").press_sequentially("--")
    assert score(visit.page)["chol"] == ""
    visit.page.wait_for_selector("#field-chol-error:not([hidden])")


def test_the_form_is_built_from_the_feature_table(visit: Visit) -> None:
    """All 13 fields have an input with unit, limits and training range; the required ones cannot be unknown."""
    page = visit.page
    assert page.locator("form .field").count() == 13
    assert "50 to 300; trained on" in page.inner_text("#field-trestbps-hint")
    assert page.get_by_role("checkbox").count() + page.locator("input[type=radio][value='']").count() == len(OPTIONAL)


def test_the_keyboard_is_enough(visit: Visit) -> None:
    """Tabs by arrow keys, an example by Enter, the score by Enter in the form."""
    page = visit.page
    page.focus("#tab-score")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-live"
    assert page.is_visible("#live")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.example") == "low"
    page.keyboard.press("Enter")
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "field-age"
    page.keyboard.press("Enter")
    page.wait_for_selector("#risk")


def test_axe_finds_nothing(themed: Visit) -> None:
    """No part of the page breaks a rule of axe-core, light or dark, with a score and with errors."""
    page = themed.page
    page.click("[data-example=sparse]")
    score(page)
    page.wait_for_selector("#risk")
    assert violations(page) == []
    fill(page, {"age": 430})
    score(page)
    page.wait_for_selector("#problems:focus")
    assert violations(page) == []
    page.click("#tab-live")
    page.wait_for_selector("#live-off h3")
    assert violations(page) == []
    page.click("#tab-model")
    page.wait_for_selector("#card table")
    assert violations(page) == []


def test_it_fits_a_telephone(visit: Visit) -> None:
    """At 360 pixels nothing has to be moved sideways to be read."""
    page = visit.page
    page.set_viewport_size({"width": 360, "height": 740})
    page.click("[data-example=high]")
    score(page)
    page.wait_for_selector("#risk")
    for tab, heading in (("score", "#result h3"), ("live", "#live-off h3"), ("model", "#card h3")):
        page.click(f"#tab-{tab}")
        page.wait_for_selector(heading)
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_card_is_read_without_its_pictures(visit: Visit) -> None:
    """Headings, tables and lists become nodes; no picture and no mark of Markdown is left."""
    page = visit.page
    page.click("#tab-model")
    page.wait_for_selector("#card table")
    assert page.inner_text("#card h2").startswith("Model card")
    assert page.locator("#card img").count() == 0
    assert page.locator("#card li").count() > 3
    text = page.inner_text("#card")
    assert [mark for mark in ("](", "**", "|---", "![", "## ") if mark in text] == []


def test_markdown_never_becomes_html(visit: Visit) -> None:
    """A card with markup in it shows the markup, and a link that runs something is no link."""
    card = '# A <img src=x onerror="alert(1)">\n\n[run](javascript:alert(1)) [go](https://example.org/) `a|b`\n'
    visit.page.route("**/model/card", lambda route: route.fulfill(body=card, content_type="text/markdown"))
    visit.page.click("#tab-model")
    visit.page.wait_for_selector("#card a")
    assert visit.page.inner_text("#card h2") == 'A <img src=x onerror="alert(1)">'
    assert visit.page.locator("#card a").evaluate_all("nodes => nodes.map(node => node.href)") == [
        "https://example.org/"
    ]


def test_the_card_has_pictures_of_the_report(visit: Visit) -> None:
    """Drawn here from the report: each row of missing fields with its sensitivity, in words for those who listen."""
    page = visit.page
    page.click("#tab-model")
    page.wait_for_selector(".plot svg")
    with urllib.request.urlopen(f"{visit.url}/model/report") as response:
        report = json.load(response)
    told = page.locator(".plot [role=img]").last.get_attribute("aria-label") or ""
    for name, models in report["missing_fields"].items():
        found = models[report["selection"]["best"]]["figures"]["recall"]["value"]
        assert f"{name}: {round(found * 100)}%" in told
    assert page.locator(".plot .one circle").count() >= len(report["missing_fields"])


def test_a_live_view_that_is_off_says_how_to_switch_it_on(visit: Visit) -> None:
    """The tab names the setting, and asks for no stream."""
    visit.page.click("#tab-live")
    visit.page.wait_for_selector("#live-off h3")
    assert "HEARTSTREAM_GATEWAY__LIVE=true" in visit.page.inner_text("#live-off")
    assert [url for url in visit.asked if "/stream/events" in url] == []


def test_nothing_comes_from_elsewhere_and_nothing_is_kept(visit: Visit) -> None:
    """Through all parts: no other host, no word on the console, no patient's value in a URL or in storage."""
    page = visit.page
    fill(page, {**LOW, "chol": 987})
    score(page)
    page.wait_for_selector("#risk")
    page.click("#tab-live")
    page.wait_for_selector("#live-off h3")
    page.click("#tab-model")
    page.wait_for_selector("#card table")
    assert (visit.foreign(), visit.said) == ([], [])
    assert [url for url in [*visit.asked, page.url] if "987" in url.removeprefix(visit.url)] == []
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_inline_script_does_not_run(visit: Visit) -> None:
    """The policy knows no 'unsafe-inline', and the browser holds to it."""
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
    assert any("Content Security Policy" in line for line in visit.said)


def test_it_is_said_that_this_is_no_medical_device(visit: Visit) -> None:
    """The words are in sight on every part, however far one has scrolled."""
    page = visit.page
    for tab in ("score", "live", "model"):
        page.click(f"#tab-{tab}")
        page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
        notice = page.get_by_role("contentinfo")
        assert notice.inner_text() == "Research and education only. Not a medical device."
        assert notice.evaluate("node => node.getBoundingClientRect().bottom <= innerHeight + 1")
