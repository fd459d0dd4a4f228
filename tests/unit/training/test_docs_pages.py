"""The documentation's pages and pictures are generated from the shipped data and agree with it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import msgspec
import pandas as pd
import pytest

from tests.support.tehran import PUBLISHED, converted
from tests.support.uci import UCI
from training.data.exploration import (
    missing_shares,
    population_stability_index,
    prevalence,
    severity_counts,
    table_one,
    zero_cholesterol,
)
from training.data.frames import digest
from training.data.labelled import read_labelled
from training.evaluation.external_validation import validate_externally
from training.pipeline import TrainingResult
from training.report.docs_pages import DATA_PAGE, DOCS, data_page, main
from training.report.figures.data import DATA_FIGURES
from training.report.figures.style import as_png, as_svg, style
from training.report.model_card import Card
from training.report.notebook import CELLS, NOTEBOOK, new
from training.report.sections.results import external_row


def test_data_page_is_current(everyone: pd.DataFrame) -> None:
    """`python -m training.report.docs_pages` writes docs/data.md again."""
    assert (DOCS / DATA_PAGE).read_text("utf-8") == data_page(everyone)


def test_model_card_is_of_this_data_and_model(report: TrainingResult, cleveland: pd.DataFrame) -> None:
    """docs/model-card.json has the training data's digest and the equations of today's training."""
    card = msgspec.json.decode((DOCS / "model-card.json").read_bytes(), type=Card)
    fresh = msgspec.json.decode((report.folder / "model-card.json").read_bytes(), type=Card)
    assert card.data.sha256 == digest(cleveland)
    assert (card.model, card.data) == (fresh.model, fresh.data)
    assert set(fresh.known_defects) <= set(card.known_defects)
    for ours, theirs in zip(card.equations, fresh.equations, strict=True):
        assert ours.intercept == pytest.approx(theirs.intercept, rel=1e-6)
        assert ours.slopes == pytest.approx(theirs.slopes, rel=1e-6)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="Tehran's patients stand beside the repository only")
def test_tehran_stands_beside_the_other_hospitals(report: TrainingResult, tmp_path: Path) -> None:
    """docs/model-card.md has the figures of `heartstream evaluate` there (`docs_pages --external`)."""
    data = read_labelled(converted(PUBLISHED, tmp_path / "tehran.csv"), UCI)
    found = validate_externally(report.folder, report.selection.best, data)
    row = external_row("Tehran", found.overall, found.prevalence_brier)
    assert ("0.18" in row[5], found.patients) == (True, 303)
    page = (DOCS / "model-card.md").read_text("utf-8")
    assert f"| {' | '.join(row)} |" in page.split("median and mode:")[0]


def test_every_picture_of_the_pages_exists() -> None:
    """No page refers to a missing picture."""
    for page in (DATA_PAGE, "model-card.md"):
        pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (DOCS / page).read_text("utf-8"))
        assert pictures
        assert [path for path in pictures if not (DOCS / path).is_file()] == []


@pytest.mark.parametrize("name", DATA_FIGURES)
def test_pictures_are_reproducible(name: str, everyone: pd.DataFrame) -> None:
    """Two drawings have the same bytes, as well-formed SVG and as PNG."""
    with style():
        one, other = (DATA_FIGURES[name](everyone) for _ in range(2))
        assert as_svg(one) == as_svg(other)
        assert as_png(one) == as_png(other)
    assert ET.fromstring(as_svg(one)).tag.endswith("svg")  # noqa: S314  # our own file


def test_quick_model_has_no_pages(report: TrainingResult, tmp_path: Path) -> None:
    """A quick run's report lacks most of what the pages show: it is refused, and nothing is written."""
    with pytest.raises(SystemExit, match="comes from a quick run"):
        main([str(report.folder), "--docs", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_counts_are_those_that_are_published(everyone: pd.DataFrame) -> None:
    """Severity, zero cholesterol and missing values by hospital agree with the data's description."""
    assert severity_counts(everyone).loc["cleveland"].tolist() == [164, 55, 36, 35, 13]
    assert zero_cholesterol() == {"cleveland": 0, "hungarian": 0, "switzerland": 123, "va": 49}
    counts = (missing_shares(everyone)["ca"] * [303, 294, 123, 200]).round().astype(int)
    assert counts.tolist() == [4, 291, 118, 198]


def test_prevalence_counts_every_patient_with_the_field(cleveland: pd.DataFrame) -> None:
    """The codes of a field partition the patients who have it."""
    found = list(prevalence(cleveland, "ca"))
    assert sum(count for _, count, _ in found) == 299
    assert [round(share.value, 2) for _, _, share in prevalence(cleveland, "cp")] == [0.30, 0.18, 0.21, 0.73]


def test_hospital_is_like_itself_and_unlike_others(everyone: pd.DataFrame) -> None:
    """The stability index is 0 for Cleveland itself, and beyond the alarm for fields known to differ."""
    assert set(population_stability_index(everyone, "cleveland").values()) == {0.0}
    assert all(
        population_stability_index(everyone, site)["restecg"] > 1.5 for site in ("hungarian", "switzerland", "va")
    )


def test_hardly_measured_field_has_no_index(everyone: pd.DataFrame) -> None:
    """A field that fewer than 20 of a hospital's patients have gets no stability index."""
    assert {site: "ca" in population_stability_index(everyone, site) for site in ("cleveland", "hungarian", "va")} == {
        "cleveland": True,
        "hungarian": False,
        "va": False,
    }


def test_table_one_shows_missing_values(everyone: pd.DataFrame) -> None:
    """They have their own line; a field that nobody has has no statistics."""
    swiss = (everyone["site"] == "switzerland").to_numpy()
    cells = dict(table_one(everyone, ["fbs", "chol"], {"swiss": swiss}))
    assert (cells["fbs not measured"], cells["fbs 0: no"]) == ("75 (61%)", "90%")
    assert (cells["chol not measured"], cells["chol [mg/dL], median (quartiles)"]) == ("123 (100%)", "-")


def test_notebook_is_current() -> None:
    """It has today's cells, was executed without an error, is small and contains no path."""
    text = NOTEBOOK.read_text("utf-8")
    document = json.loads(text)
    assert ["".join(cell["source"]) for cell in document["cells"]] == [cell["source"] for cell in new()["cells"]]
    code = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(CELLS) + 1))
    assert not [output for cell in code for output in cell["outputs"] if output["output_type"] == "error"]
    assert (len(text) < 1_000_000, "/home" in text, "site-packages" in text) == (True, False, False)


def test_model_card_page_and_json_are_of_one_run() -> None:
    """docs/model-card.md has the equations of docs/model-card.json."""
    card = msgspec.json.decode((DOCS / "model-card.json").read_bytes(), type=Card)
    page = (DOCS / "model-card.md").read_text("utf-8")
    assert all(f"{each.intercept:.6g}" in page for each in card.equations)
