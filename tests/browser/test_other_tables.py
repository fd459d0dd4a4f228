"""The page works for any feature table: one with codes that are texts, and one with many fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from heartstream.demo.processes import Child, predict
from schemas.tables.feature_table import Feature, FeatureTable, Kind
from tests.browser.accessible import violations
from tests.browser.serving import serving, visiting
from tests.support.other_tables import table

SENT = {"age": 71, "sex": "M", "sample_yr": 1997, "kappa": 1.91, "lambda": None, "flc_grp": 7, "mgus": "no"}


@pytest.fixture(scope="module")
def flchain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Child]:
    with serving(table("flchain"), tmp_path_factory.mktemp("flchain")) as gateway:
        yield gateway


def score(page) -> dict:
    """Press the button and return the body of the request."""
    with page.expect_request("**/predict") as sent:
        page.get_by_role("button", name="Score this patient").click()
    page.wait_for_selector("#risk")
    return json.loads(sent.value.post_data)


def test_codes_that_are_texts_are_sent_as_texts(browser, flchain: Child) -> None:
    """Numbers stay numbers, what is unknown is null, and the risk is that of the gateway, with the outcome in words."""
    with visiting(browser, flchain) as visit:
        page = visit.page
        for name in ("age", "sample_yr", "kappa"):
            page.fill(f"#field-{name}", str(SENT[name]))
        page.get_by_role("radiogroup", name="Sex as recorded").get_by_label("male", exact=True).check()
        page.get_by_role("radiogroup", name="Tenth of the total").get_by_label("7", exact=True).check()
        page.get_by_role("radiogroup", name="Monoclonal").get_by_label("no", exact=True).check()
        record = {"patient_id": "page", **SENT, "creatinine": None}
        assert score(page) == record
        expected = predict(flchain.url, json.dumps(record).encode())
        assert page.inner_text("#risk") == f"{float(expected['risk']) * 100:.1f}%"
        assert "risk of death within 5 years" in page.inner_text(".headline")
        assert "Serum creatinine" in page.inner_text(".facts")
        assert (violations(page), visit.console) == ([], [])


def test_the_example_of_the_table_fills_the_form(browser, flchain: Child) -> None:
    """Without examples of the form, the table's own is offered; the header names the table."""
    with visiting(browser, flchain) as visit:
        page = visit.page
        page.get_by_role("button", name="Example", exact=True).click()
        assert score(page) == {**table("flchain").example, "patient_id": "page"}
        assert page.inner_text("#served") == "Serum free light chains, Olmsted County: risk of death within 5 years"
        assert "Trained on 400 invented patients. Not validated" in page.inner_text(".headline")
        assert "nothing: all 8 fields are known" in page.inner_text(".facts")


def test_other_units_are_those_of_the_table(browser, flchain: Child) -> None:
    """Each quantity has an input for each of its other UCUM units, as people write them; a flag explains no code."""
    with visiting(browser, flchain) as visit:
        page = visit.page
        page.get_by_label("Serum creatinine in \u00b5mol/L").fill("88.4")
        assert page.input_value("#field-creatinine") == "0.999804"
        assert page.inner_text("#field-creatinine-calculation") == "88.4 \u00b5mol/L \u00d7 0.01131 = 1 mg/dL."
        page.fill("#field-creatinine", "1.1")
        assert page.get_by_label("Serum creatinine in \u00b5mol/L").input_value() == "97.26"
        assert page.locator("[id*='-unit-']").count() == 3
        assert page.locator("[id*='-note-']").count() == 0


def test_a_patient_has_the_text_of_its_group(browser, flchain: Child) -> None:
    """Groups are defined by codes that are texts: women are the first, men the second."""
    with visiting(browser, flchain) as visit:
        page = visit.page
        page.route("**/predict", lambda route: route.fulfill(json={**route.fetch().json(), "label_set": [1]}))
        page.get_by_role("button", name="Example", exact=True).click()
        for label, group in (("female", "women"), ("male", "men")):
            page.get_by_role("radiogroup", name="Sex as recorded").get_by_label(label, exact=True).check()
            score(page)
            page.locator(".verdict", has_text=f"({group})").wait_for()


def with_many_fields(count: int) -> FeatureTable:
    """Return a table of measurements with long names."""
    fields = tuple(
        Feature(
            name=f"measurement_{number}",
            meaning=f"largest value of measurement {number} of the cell nuclei in the image",
            kind=Kind.QUANTITY,
            unit="um",
            limits=(0, 10_000),
            required=True,
        )
        for number in range(count)
    )
    return FeatureTable(
        name="many",
        version="1",
        title="Measurements",
        outcome=table("flchain").outcome,
        features=fields,
        codings=table("flchain").codings,
        example={"patient_id": "example-1", **{feature.name: 12.5 for feature in fields}},
    )


@pytest.mark.parametrize("count", [1, 30, 200])
def test_any_number_of_fields_fits_the_page(browser, tmp_path: Path, count: int) -> None:
    """On a phone and on a wide screen nothing has to be scrolled sideways."""
    with serving(with_many_fields(count), tmp_path) as gateway, visiting(browser, gateway) as visit:
        page = visit.page
        for width in (320, 1400):
            page.set_viewport_size({"width": width, "height": 900})
            page.get_by_role("button", name="Example", exact=True).click()
            assert len(score(page)) == 1 + count
            assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("form .field").count() == count
