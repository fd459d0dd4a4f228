"""A FHIR Bundle fills the form in, in a real browser on a real gateway."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from heartstream.demo.processes import Child, predict
from tests.browser.accessible import violations
from tests.browser.serving import serving, visiting
from tests.browser.visit import Visit
from tests.support.other_tables import table

EXAMPLES = Path("schemas/examples/fhir/v1")
SYNTHEA = EXAMPLES / "hospitals" / "synthea-as-it-is.json"
NOTES = "#bundle-notes:not([hidden])"
DROP = """([text]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([text], "bundle.json"));
  for (const kind of ["dragover", "drop"]) {
    const event = new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
    document.getElementById("bundle-area").dispatchEvent(event);
  }
}"""


def choose(page: Any, path: Path) -> None:
    page.set_input_files("#bundle", path)
    page.wait_for_selector(NOTES)


def test_a_person_answers_what_the_record_lacks(visit: Visit, gateway: Child) -> None:
    """Each value has its source, the first open question has the focus, and the risk is that of the whole record."""
    page = visit.page
    choose(page, SYNTHEA)
    text = "4 of 13 fields are filled in from the Bundle. Still to answer: Chest pain type."
    assert page.inner_text("#filled") == text
    assert page.get_attribute("#filled", "role") == "status"
    assert page.evaluate("document.activeElement.name") == "field-cp"
    marks = [f"#field-{name}-source" for name in ("age", "sex", "trestbps", "chol")]
    assert [page.inner_text(each) for each in marks] == [*["FHIR, Patient"] * 2, *["FHIR, 2024-03-01"] * 2]
    assert page.locator(".source:visible").count() == 4
    assert not page.is_visible("#bundle-notes-list")
    page.click("#bundle-notes-title")
    assert "trestbps: passed over, as it is not the latest: 2023-03-03, 2022-03-04." in page.inner_text("#bundle-notes")
    page.keyboard.press("Tab")
    page.focus("input[name=field-cp]")
    page.keyboard.press("Space")
    with page.expect_request("**/predict") as sent:
        page.keyboard.press("Enter")
    page.wait_for_selector("#risk")
    record = json.loads(sent.value.post_data)
    assert (record["cp"], record["sex"], record["trestbps"], record["chol"], record["fbs"]) == (1, 1, 139, 192, None)
    risk = float(predict(gateway.url, json.dumps(record).encode())["risk"])
    assert page.inner_text("#risk") == f"{risk * 100:.1f}%"
    assert (visit.foreign_requests(), visit.console) == ([], [])


def test_what_is_changed_is_no_longer_from_the_bundle(visit: Visit) -> None:
    """Nor is anything after another example, or when the form is cleared."""
    page = visit.page
    choose(page, SYNTHEA)
    page.fill("#field-chol", "210")
    assert page.locator(".source:visible").count() == 3
    page.check("input[name=field-cp][value='2']")
    text = "3 of 13 fields are filled in from the Bundle. Every required field has an answer."
    assert page.inner_text("#filled") == text
    page.get_by_role("button", name="Clear").click()
    assert page.locator(".source:visible").count() == 0
    assert (page.inner_text("#filled"), page.is_visible("#bundle-notes")) == ("", False)
    choose(page, EXAMPLES / "accepted" / "questionnaire-response.json")
    assert (
        page.inner_text("#filled")
        == "10 of 13 fields are filled in from the Bundle. Every required field has an answer."
    )
    assert page.inner_text("#field-cp-source") == "FHIR, 2024-03-02"
    assert page.is_checked("input[name=field-exang][value='1']")
    page.get_by_role("button", name="High risk").click()
    assert page.locator(".source:visible").count() == 0


def test_problems_are_shown_and_leave_the_form(visit: Visit) -> None:
    """All of them, with their places, in the area of the other problems; the next Bundle hides them."""
    page = visit.page
    page.get_by_role("button", name="High risk").click()
    page.wait_for_selector("#risk")
    page.set_input_files("#bundle", EXAMPLES / "hospitals" / "unclear-answers.json")
    page.wait_for_selector("#problems:focus")
    assert page.inner_text("#problems-title") == "The Bundle cannot be used (status 422); the form is unchanged."
    items = page.locator("#problems-list li").all_inner_texts()
    assert len(items) == 3
    assert items[0].endswith("Bundle.entry[11].resource.item[0].item[0].answer[1]")
    assert page.input_value("#field-age") == "64"
    page.evaluate(DROP, [SYNTHEA.read_text("utf-8")])
    page.wait_for_selector(NOTES)
    assert not page.is_visible("#problems")
    assert page.input_value("#field-age") == "65"
    page.evaluate(DROP, ["no JSON"])
    page.wait_for_selector("#problems:focus")
    assert "must be a JSON document" in page.inner_text("#problems-list")


def test_other_modules_can_fill_the_form_in(visit: Visit) -> None:
    """From an object, as a SMART launch has it; the result says whether it could be read."""
    script = """async ([bundle]) => {
      const { fillFromBundle } = await import("/page/fhir.js");
      const { PatientForm } = await import("/page/form.js");
      const table = await (await fetch("/fields")).json();
      const fields = document.getElementById("fields");
      fields.replaceChildren();
      const form = new PatientForm(fields, table, {});
      return [await fillFromBundle(bundle, form, table), form.record(), await fillFromBundle("{}", form, table)];
    }"""
    was_read, record, was_refused = visit.page.evaluate(script, [json.loads(SYNTHEA.read_bytes())])
    assert (was_read, was_refused) == (True, False)
    assert {name: value for name, value in record.items() if value is not None} == {
        "patient_id": "page", "age": 65, "sex": 1, "trestbps": 139, "chol": 192,
    }  # fmt: skip


def test_axe_reports_nothing_and_it_fits_a_narrow_screen(themed: Visit) -> None:
    """In light and dark, filled in with the notes open, and with problems, at 320 pixels."""
    page = themed.page
    page.set_viewport_size({"width": 320, "height": 740})
    choose(page, SYNTHEA)
    page.click("#bundle-notes-title")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    page.set_input_files("#bundle", EXAMPLES / "hospitals" / "unclear-answers.json")
    page.wait_for_selector("#problems:focus")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 320


@pytest.mark.parametrize("name", ["flchain", "text_codes"])
def test_another_table_takes_bundles_if_it_has_fhir(browser: Any, tmp_path: Path, name: str) -> None:
    """Codes that are texts fill the form in as well; a table that cannot be sent as FHIR shows no such part."""
    own = table(name)
    with serving(own, tmp_path) as gateway, visiting(browser, gateway) as visit:
        page = visit.page
        assert page.is_visible("#bundle-area") == (own.fhir is not None)
        if own.fhir is None:
            return
        system = f"urn:heartstream:{own.name}"
        answers = [
            {"linkId": "mgus", "answer": [{"valueBoolean": False}]},
            {"linkId": "kappa", "answer": [{"valueDecimal": 1.25}]},
        ]
        parts = [
            {"resourceType": "Patient", "id": "p-1", "gender": "female", "birthDate": "1950-01-01"},
            {
                "resourceType": "QuestionnaireResponse",
                "status": "completed",
                "questionnaire": f"{gateway.url}/fhir/Questionnaire/{own.fhir.operation}",
                "item": answers,
            },
        ]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": each} for each in parts]}
        page.evaluate(DROP, [json.dumps(bundle)])
        page.wait_for_selector(NOTES)
        assert page.is_checked("input[name=field-mgus][value='no']"), system
        expect(page.locator("#field-kappa")).to_have_value("1.25")
        assert page.inner_text("#field-kappa-source") == "FHIR, without a date"
