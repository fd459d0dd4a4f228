"""Laws of the drift report in a real browser: it is self-contained and accessible."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from heartstream.demo.patients import real_patients
from tests.browser.accessible import violations


@pytest.fixture(scope="module")
def report(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on the Long Beach patients, as the command writes it."""
    folder = tmp_path_factory.mktemp("drift")
    records, path = folder / "long-beach.ndjson", folder / "drift.html"
    lines = [json.dumps(each) for each in real_patients() if str(each["patient_id"]).startswith("va-")]
    records.write_text("\n".join(lines), encoding="utf-8")
    command = [sys.executable, "-m", "heartstream", "drift", str(records), "--model", str(model_dir), "-o", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture
def page(browser, report: Path, theme: str):
    context = browser.new_context(color_scheme=theme, viewport={"width": 1000, "height": 900})
    page = context.new_page()
    page.requested = []
    page.on("request", lambda request: page.requested.append(request.url))
    page.goto(report.as_uri())
    yield page
    context.close()


def test_the_report_is_accessible_and_self_contained(page, report: Path) -> None:
    """In the light and dark themes axe reports nothing, and nothing is loaded but the file itself."""
    requested = list(page.requested)
    assert violations(page) == []
    assert requested == [report.as_uri()]


def test_every_figure_has_a_table(page) -> None:
    """The thirteen fields and the risks have their shares as tables too, for readers who cannot see the bars."""
    assert page.locator("section svg[role=img]").count() == 14
    assert page.locator("section table caption").count() == 14
    assert page.get_by_role("link", name="restecg").get_attribute("href") == "#restecg"


@pytest.mark.parametrize("width", [360, 1000])
def test_it_fits_the_window(page, width: int) -> None:
    """At the width of a phone and of a desktop window, nothing has to be scrolled sideways."""
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_it_prints_black_on_white(page) -> None:
    """The printed report is black on white, whatever the screen's theme is."""
    page.emulate_media(media="print")
    colours = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
