"""Takes docs/pictures/drift-report.png and compare-report.png: two reports on real patients, in a real browser.

    heartstream train --output model && python docs/pictures/make_reports.py model

Needs Chromium (Debian: apt install chromium) and the `dev` dependency group.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from screenshots import FOLDER, browser_path

from heartstream.demo.patients import real_patients
from heartstream.files.tally import Tally
from heartstream.monitoring.compare import render
from heartstream.monitoring.compare.comparison import compare_file
from heartstream.monitoring.drift.counting import count_file
from heartstream.monitoring.drift.html_report import write
from heartstream.monitoring.drift.verdict import Verdict
from scoring.model_artifact import load

_COLOURS: Final = 64
_WIDTH, _HEIGHT = 960, 760


def main() -> None:
    """Write both reports, and take a part of each."""
    browser = browser_path()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = started.new_page(viewport={"width": _WIDTH, "height": _HEIGHT})
        _save(_drift(page, Path(folder), Path(sys.argv[1])), "drift-report.png")
        _save(_comparison(page, Path(folder), Path(sys.argv[1])), "compare-report.png")
        started.close()


def _save(picture: Image.Image, name: str) -> None:
    picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=_COLOURS).save(FOLDER / name, optimize=True)
    sys.stdout.write(f"wrote {name}\n")


def _drift(page: Page, folder: Path, model: Path) -> Image.Image:
    """Put the head of Long Beach's drift report above its field `restecg`."""
    records, report = _written(folder / "long-beach.ndjson", "va-"), folder / "drift.html"
    counted = count_file(load(model), records, None, _unseen)
    write(counted, Verdict.of(counted.model, counted.drift), records.name, report)
    page.goto(report.as_uri())
    head = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    field = page.locator("section", has=page.locator("#restecg")).screenshot()
    below = Image.open(io.BytesIO(field)).convert("RGB")
    whole = Image.new("RGB", (_WIDTH, head.height + below.height + 20), "white")
    whole.paste(head, (0, 0))
    whole.paste(below, ((_WIDTH - below.width) // 2, head.height))
    return whole


def _comparison(page: Page, folder: Path, model: Path) -> Image.Image:
    """Take what the forest makes of all four hospitals' patients beside the logistic regression."""
    records, report = _written(folder / "patients.ndjson", ""), folder / "compare.html"
    both = (load(model, name) for name in ("logistic_regression", "random_forest"))
    render.write(compare_file(*both, records, None, _unseen), report)
    page.goto(report.as_uri())
    return Image.open(io.BytesIO(page.locator("section", has=page.locator(".frame")).screenshot())).convert("RGB")


def _written(path: Path, site: str) -> Path:
    """Write the records of a hospital, or of all."""
    lines = [json.dumps(each) for each in real_patients() if str(each["patient_id"]).startswith(site)]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _unseen(_done: int, _total: int | None, _tally: Tally) -> None:
    pass


if __name__ == "__main__":
    main()
