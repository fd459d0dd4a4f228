"""Takes the picture of the page after a launch by an EHR, with a real FHIR server, in a real browser without a screen.

    heartstream train --output model && python docs/pictures/make_smart.py model

Writes smart-launch.png. Needs Chromium, Java 17, Maven and the `dev` dependency group. The patient is invented.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from screenshots import browser_path, take

from tests.browser.launches import serving_ehr
from tests.support.ehr_patients import PATIENT, observations, patients
from tests.support.fhir_server import running_fhir_server

_WIDTH, _HEIGHT = 1200, 1120


def main() -> None:
    """Run gateway, EHR and FHIR server; launch the page, answer what is missing, score, and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model directory that `heartstream train` wrote")
    asked = parser.parse_args()
    with (
        running_fhir_server() as fhir,
        tempfile.TemporaryDirectory() as logs,
        serving_ehr(asked.model, Path(logs), fhir.url) as (gateway, ehr),
        sync_playwright() as playwright,
    ):
        for resource in (*patients(), *observations()):
            fhir.put(resource)
        browser = playwright.chromium.launch(executable_path=browser_path(), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        page.goto(ehr.launch_url(gateway.url, PATIENT))
        _take(page)
        browser.close()


def _take(page: Page) -> None:
    page.wait_for_selector("#ehr-patient:visible")
    page.get_by_role("radiogroup", name="Chest pain").get_by_label("typical angina", exact=True).check()
    page.get_by_role("button", name="Score this patient").click()
    page.wait_for_selector("#risk")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    take(page, "smart-launch.png")


if __name__ == "__main__":
    main()
