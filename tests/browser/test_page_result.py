"""Laws of the page's result, in a real browser on a real gateway: at once, in view, and of the form's values."""

from __future__ import annotations

import json
import re

import pytest
from playwright.sync_api import expect

from heartstream.demo.processes import Child, predict
from schemas.tables.builtin import UCI_HEART
from tests.browser.visit import Visit

NOT_FOR_CLINICIANS = r"\blabels?\b|log-odds|sub-model|pattern|submodel|\bnull\b"
IN_VIEW = """node => {
  const { top, bottom } = node.getBoundingClientRect();
  const notice = document.querySelector(".notice").getBoundingClientRect().top;
  return top >= 0 && bottom <= Math.min(innerHeight, notice);
}"""


def choose(page, name: str) -> None:
    """Choose an example, and wait for its score."""
    page.get_by_role("button", name=name, exact=True).click()
    page.wait_for_selector("#risk")


def test_an_example_is_scored_at_once(visit: Visit, gateway: Child) -> None:
    """One click fills in the form and shows the risk that `/predict` returns, and a screen reader is informed."""
    page = visit.page
    choose(page, "High risk")
    expected = predict(gateway.url, json.dumps({"patient_id": "p", **UCI_HEART.form.examples["High risk"]}).encode())
    assert page.inner_text("#risk") == f"{float(expected['risk']) * 100:.1f}%"
    assert page.input_value("#field-age") == "64"
    text = f"Risk {expected['risk'] * 100:.1f}% of {UCI_HEART.outcome.text}"
    assert page.locator("#announcement[role=status]").inner_text().startswith(text)
    assert page.locator("#stale").is_hidden()


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_the_result_is_in_view(visit: Visit, width: int, height: int) -> None:
    """The risk, of what and in whose like, and the scale; after an example, and after the last field of the form."""
    page = visit.page
    page.set_viewport_size({"width": width, "height": height})
    shown = ("#risk", ".headline .population", ".scale", ".legend")
    choose(page, "Little known")
    assert [part for part in shown if not page.locator(part).evaluate(IN_VIEW)] == []
    page.locator("input[name=field-thal]").last.scroll_into_view_if_needed()
    page.check("input[name=field-thal][value='7']")
    page.get_by_role("button", name="Score this patient").click()
    page.wait_for_selector("#stale", state="hidden")
    assert [part for part in shown if not page.locator(part).evaluate(IN_VIEW)] == []


def test_a_result_of_other_values_is_grey_and_says_so(visit: Visit) -> None:
    """Until the form has the values again that were scored, or is scored again."""
    page = visit.page
    choose(page, "High risk")
    colour = "getComputedStyle(document.getElementById('risk')).color"
    before = page.evaluate(colour)
    page.check("input[name=field-exang][value='0']")
    expect(page.locator("#stale")).to_have_text(
        "The form has changed: this result is of the earlier values. Score again."
    )
    assert page.inner_text("#announcement") == page.inner_text("#stale")
    muted = page.evaluate("getComputedStyle(document.querySelector('#result .muted')).color")
    assert (page.evaluate(colour), before != muted) == (muted, True)
    page.check("input[name=field-exang][value='1']")
    assert (page.is_hidden("#stale"), page.evaluate(colour)) == (True, before)
    page.fill("#field-age", "65")
    assert page.is_visible("#stale")
    page.keyboard.press("Enter")
    page.wait_for_selector("#stale", state="hidden")
    assert page.evaluate(colour) == before


def test_a_late_response_does_not_replace_a_later_one(visit: Visit) -> None:
    """Of two examples chosen at once, the result is that of the second, although its response is the first."""
    page = visit.page
    held = []

    def hold(route) -> None:
        held.append(route)

    page.route("**/predict", hold)
    for name in ("High risk", "Low risk"):
        with page.expect_request("**/predict"):
            page.get_by_role("button", name=name).click()
    held[1].continue_()
    page.wait_for_selector("#risk")
    shown = page.inner_text("#risk")
    with page.expect_response("**/predict"):
        held[0].continue_()
    page.wait_for_timeout(100)
    assert float(shown.rstrip("%")) < 50
    assert (page.inner_text("#risk"), page.is_hidden("#stale")) == (shown, True)


def test_its_words_are_those_of_clinicians(visit: Visit) -> None:
    """It says of what and in whose like the risk is, what the bar shows, and what unknown fields did."""
    page = visit.page
    choose(page, "Little known")
    text = page.inner_text("#score").replace("pattern_submodels", "the model's name")
    assert re.findall(NOT_FOR_CLINICIANS, text, re.IGNORECASE) == []
    legend = page.locator(".legend li").all_inner_texts()
    assert [line.split(":")[0] for line in legend] == [
        "Risk of this patient",
        "Uncertainty of the risk (90% interval)",
        "Threshold, from which the model expects disease",
    ]
    assert "by a model that was trained without the unknown fields" in page.inner_text(".facts")
    assert "no value was assumed for an unknown field" in page.inner_text(".facts")
    effects = page.locator(".reason-text").all_inner_texts()
    assert all(re.fullmatch(r"(raises|lowers|leaves) the risk \(odds \u00d7 [\d.]+\)", each) for each in effects)


def test_asymptomatic_is_explained(visit: Visit) -> None:
    """Beside the options and for screen readers, in the words of the feature table."""
    page = visit.page
    radio = page.get_by_role("radio", name="asymptomatic")
    note = page.locator(f"#{radio.get_attribute('aria-describedby')}")
    assert note.inner_text() == f"Asymptomatic: {UCI_HEART.by_name['cp'].notes['4']}."
    assert note.is_visible()


def test_a_value_may_be_entered_in_another_unit(visit: Visit) -> None:
    """It is converted and rounded as the page says, and shown in both units; the table's unit is sent."""
    page = visit.page
    choose(page, "High risk")
    other = page.get_by_label("Serum cholesterol in mmol/L")
    assert other.input_value() == "7.27"
    other.fill("5.2")
    assert page.input_value("#field-chol") == "201"
    text = "5.2 mmol/L \u00d7 38.67 = 201.084 mg/dL, rounded to 201."
    assert page.inner_text("#field-chol-calculation") == text
    with page.expect_request("**/predict") as sent:
        page.keyboard.press("Enter")
    assert json.loads(sent.value.post_data)["chol"] == 201
    page.fill("#field-chol", "240")
    assert (other.input_value(), page.is_visible("#field-chol-calculation")) == ("6.21", False)
    box = page.get_by_role("checkbox", name="Serum cholesterol is unknown")
    box.check()
    assert (other.input_value(), page.input_value("#field-chol")) == ("", "")
    other.press_sequentially("--")
    assert not box.is_checked()
    with page.expect_request("**/predict") as sent:
        page.keyboard.press("Enter")
    assert json.loads(sent.value.post_data)["chol"] == ""


def test_units_are_converted_as_in_fhir(visit: Visit) -> None:
    """The page has the same number as the gateway, which reads the quantity from a Bundle."""
    page = visit.page
    path = page.evaluate("fetch('fields').then((answer) => answer.json()).then((table) => table.fhir.populate)")
    values = [3, 4.15, 5.18, 6.05, 7.77, 10.99]
    patient = {"resource": {"resourceType": "Patient", "id": "p", "gender": "male", "birthDate": "1960-01-01"}}
    for value in values:
        quantity = {"value": value, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"}
        coding = [{"system": "http://loinc.org", "code": "14647-2"}]
        observation = {"resourceType": "Observation", "status": "final", "code": {"coding": coding}}
        entry = [patient, {"resource": {**observation, "valueQuantity": quantity}}]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": entry}
        headers = {"Content-Type": "application/fhir+json"}
        answer = page.request.post(f"{visit.url}/{path}", data=json.dumps(bundle), headers=headers)
        found = re.search(r'"linkId":"chol".*?"value(?:Integer|Decimal)":([\d.]+)', answer.text().replace(" ", ""))
        assert found, answer.text()
        page.get_by_label("Serum cholesterol in mmol/L").fill(str(value))
        assert float(page.input_value("#field-chol")) == float(found[1])


def test_it_prints_black_on_white_with_the_whole_result(visit: Visit) -> None:
    """Also in the dark theme; without buttons, and with the medical notice."""
    page = visit.page
    choose(page, "Little known")
    page.emulate_media(media="print", color_scheme="dark")
    colours = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    shown = {part: page.is_visible(part) for part in ("#examples", ".actions", ".tabs", "#risk", ".facts", ".notice")}
    assert [part for part, is_shown in shown.items() if is_shown] == ["#risk", ".facts", ".notice"]
    area = page.locator("#result-area")
    assert area.evaluate("node => node.scrollHeight <= node.clientHeight")
