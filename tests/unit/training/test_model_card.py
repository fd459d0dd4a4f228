"""The model card has the run's results, and a reader can compute a risk from it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from scoring.model_artifact import CARD_DATA_FILE, CARD_FILE, REPORT_FILE
from scoring.scorer import Scorer
from tests.support.uci import FEATURE_NAMES, UCI
from training.data.frames import features
from training.data.population import data_entry
from training.evaluation.baseline import BASELINE
from training.evaluation.results import EvaluationReport
from training.pipeline import TrainingResult
from training.report.markdown import interval
from training.report.model_card import Card, as_markdown

GAP = ("slope", "ca", "thal")


def card_of(report: TrainingResult) -> Card:
    return msgspec.json.decode((report.folder / CARD_DATA_FILE).read_bytes(), type=Card)


@pytest.mark.parametrize("missing", [(), GAP], ids=["complete", "slope+ca+thal"])
def test_equation_gives_the_risk(missing: tuple[str, ...], report: TrainingResult, cleveland: pd.DataFrame) -> None:
    """Computed by hand from the card every patient has the served risk."""
    (equation,) = [each for each in card_of(report).equations if each.without == missing]
    matrix = features(cleveland[cleveland["ca"].notna() & cleveland["thal"].notna()])
    matrix[:, [FEATURE_NAMES.index(name) for name in missing]] = np.nan
    by_hand = []
    for row in matrix:
        values = dict(zip(FEATURE_NAMES, row.tolist(), strict=True))
        log_odds = equation.intercept + sum(slope * values[name] for name, slope in equation.slopes.items())
        log_odds += sum(numbers[str(int(values[name]))] for name, numbers in equation.codes.items())
        by_hand.append(1 / (1 + math.exp(-log_odds)))
    served = Scorer.from_directory(report.folder, "pattern_submodels").risks(matrix)
    np.testing.assert_allclose(by_hand, served, rtol=0, atol=1e-6)


def test_page_has_the_metrics_of_the_report(report: TrainingResult) -> None:
    """For the best model and the baseline; the disclaimer comes first."""
    page = (report.folder / CARD_FILE).read_text("utf-8")
    found = msgspec.json.decode((report.folder / REPORT_FILE).read_bytes(), type=EvaluationReport)
    assert page.index(report.manifest.data.disclaimer) < page.index("## Intended use")
    lines = [line for line in page.splitlines() if line.startswith("| slope+ca+thal ")]
    for model, line in zip((report.selection.best, BASELINE), lines, strict=True):
        for figure in ("recall", "specificity"):
            assert interval(found.missing_fields["slope+ca+thal"][model].figures[figure]) in line
    assert interval(found.baseline_at_equal_specificity["slope+ca+thal"].performance.figures["recall"]) in lines[1]
    assert report.selection.reason in page


def test_quick_card_says_what_it_lacks(report: TrainingResult) -> None:
    """A quick run's card says so and makes no claims about other hospitals."""
    page = (report.folder / CARD_FILE).read_text("utf-8")
    assert ("This was a quick run" in page, "## Other hospitals" in page) == (True, False)


def test_readme_has_the_disclaimer_of_the_shipped_data(cleveland: pd.DataFrame) -> None:
    """It is that of a model of the shipped data."""
    readme = re.sub(r"\n> ", " ", (Path(__file__).parents[3] / "README.md").read_text("utf-8"))
    assert data_entry(cleveland, UCI.table, "processed.cleveland.data").disclaimer in readme


def test_card_contains_no_path_and_no_time(report: TrainingResult) -> None:
    """Card and report do not depend on where or when they are written."""
    for name in (CARD_FILE, CARD_DATA_FILE, REPORT_FILE):
        text = (report.folder / name).read_text("utf-8")
        assert str(report.folder) not in text
        assert not re.search(r"20\d\d-\d\d-\d\d|\d\d:\d\d:\d\d", text)


def test_card_without_an_equation_omits_its_sections(report: TrainingResult) -> None:
    """As for a forest."""
    card = msgspec.structs.replace(card_of(report), equations=())
    page = as_markdown(card, report.evaluation)
    assert "## The equation" not in page
    assert "## Known defects" in page


def test_json_card_has_the_texts_of_the_page(report: TrainingResult) -> None:
    """Programs read what people read."""
    document = json.loads((report.folder / CARD_DATA_FILE).read_bytes())
    page = (report.folder / CARD_FILE).read_text("utf-8")
    assert all(text in page for text in (document["intended_use"], *document["known_defects"], document["selection"]))
