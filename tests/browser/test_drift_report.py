"""Laws of the drift report, in a real browser: it asks for nothing, and everybody can read it."""

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
    """The report of Long Beach's patients, as the command writes it."""
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
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto(report.as_uri())
    yield page
    context.close()


def test_it_is_accessible_and_asks_for_nothing(page, report: Path) -> None:
    """In light and dark axe finds nothing, and the file itself is all that was loaded."""
    asked = list(page.asked)
    assert violations(page) == []
    assert asked == [report.as_uri()]


def test_every_figure_has_its_table_beside_it(page) -> None:
    """Whoever does not see the bars reads the same shares: thirteen fields and the risks."""
    assert page.locator("section svg[role=img]").count() == 14
    assert page.locator("section table caption").count() == 14
    assert page.get_by_role("link", name="restecg").get_attribute("href") == "#restecg"


@pytest.mark.parametrize("width", [360, 1000])
def test_nothing_is_cut_off(page, width: int) -> None:
    """On a phone as on a screen no column runs out of the window."""
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_on_paper_it_is_dark_on_white(page) -> None:
    """Whatever the theme on the screen is."""
    page.emulate_media(media="print")
    colours = page.evaluate("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
    assert colours == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
