"""`heartstream compare` on files: two models' scores of the same real patients."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heartstream.demo.patients import real_patients
from heartstream.monitoring.compare.differences import EDGES, STEPS, ComparisonCounter, compare_outcomes
from schemas.codec import decode_score
from schemas.records import ModelRef
from scoring.scorer import Scorer
from tests.support.models import with_exchanged_labels
from tests.support.outcomes import Scored, process

MODELS = ModelRef("first", "1", "a" * 16), ModelRef("second", "1", "b" * 16)
risks = st.integers(0, 1_000_000).map(lambda millionths: millionths / 1e6)
labelled = st.tuples(risks, risks, st.integers(0, 1), st.integers(0, 1))


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All real patients, and one invalid record."""
    path = tmp_path_factory.mktemp("compare") / "patients.ndjson"
    path.write_text("".join(json.dumps(record) + "\n" for record in real_patients()) + "{}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def exchanged(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_exchanged_labels(model_dir, tmp_path_factory.mktemp("exchanged") / "model")


def run(*arguments: object, **names: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "heartstream", "compare", *map(str, arguments)]
    return subprocess.run(command, env={**os.environ, **names}, capture_output=True, text=True, check=False)


def asked(*arguments: object) -> dict[str, Any]:
    done = run(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_file_is_compared_by_the_scores_of_both_models(model_dir: Path, exchanged: Path, patients: Path) -> None:
    """Labels and risks are exactly those of the scores; a rejected record is in neither."""
    found = asked(patients, "--champion", model_dir, "--challenger", exchanged)
    values = patients.read_bytes().splitlines()
    scores = [
        [decode_score(each.value) for each in process(values, [None] * len(values), scorer) if isinstance(each, Scored)]
        for scorer in map(Scorer.from_directory, (model_dir, exchanged))
    ]
    differences = np.array([second.risk - first.risk for first, second in zip(*scores, strict=True)])
    [compared] = found["compared"]
    other = sum(first.label != second.label for first, second in zip(*scores, strict=True))
    assert compared["labels"][0][1] + compared["labels"][1][0] == other > len(differences) / 2
    assert compared["mean_difference"] == pytest.approx(differences.mean())
    assert compared["mean_absolute_difference"] == pytest.approx(np.abs(differences).mean())
    assert compared["largest_difference"] == pytest.approx(np.abs(differences).max())
    assert (compared["records"], found["left_out"]["rejected"]) == (len(differences), 1)


def test_a_model_does_not_differ_from_itself(model_dir: Path, patients: Path) -> None:
    """Every record is on the diagonal and in the middle bin."""
    [compared] = asked(patients, "--champion", model_dir, "--challenger", model_dir)["compared"]
    assert compared["largest_difference"] == 0
    assert compared["differences"][len(EDGES) // 2] == compared["records"]
    assert sum(compared["grid"][step][step] for step in range(STEPS)) == compared["records"]


@given(st.lists(labelled, min_size=1, max_size=50), st.integers(1, 7))
def test_the_batch_size_does_not_matter(rows: list[tuple[float, float, int, int]], size: int) -> None:
    """The counts are the same, with each record once and in its bin."""
    whole, parts = ComparisonCounter(*MODELS), ComparisonCounter(*MODELS)
    whole.add(*map(np.array, zip(*rows, strict=True)))
    for start in range(0, len(rows), size):
        parts.add(*map(np.array, zip(*rows[start : start + size], strict=True)))
    one, other = whole.result(), parts.result()
    assert (one.labels, one.differences, one.grid) == (other.labels, other.differences, other.grid)
    assert sum(one.differences) == sum(map(sum, one.grid)) == one.records == len(rows)
    lower = sum(round(second - first, 6) <= EDGES[0] for first, second, _, _ in rows)
    assert one.differences[0] == lower
    assert one.mean_difference == pytest.approx(np.mean([row[1] - row[0] for row in rows]))


def test_the_better_model_is_found_by_its_outcomes() -> None:
    """Outcomes drawn from one model's risks favour it; too few, or drawn from the mean of both, do not."""
    chance = np.random.default_rng(3)
    right = chance.uniform(0.05, 0.95, 400)
    wrong = 1 - right
    outcomes = (chance.uniform(size=400) < right).astype(np.int64)
    worse, better = (
        compare_outcomes(outcomes, right, wrong).brier_difference,
        compare_outcomes(outcomes, wrong, right).brier_difference,
    )
    assert worse is not None
    assert better is not None
    assert (worse.low > 0, better.high < 0, worse.value) == (True, True, -better.value)
    assert compare_outcomes(outcomes[:49], right[:49], wrong[:49]).brier_difference is None
    coin = compare_outcomes(chance.integers(0, 2, 400), right, wrong).brier_difference
    assert coin is not None
    assert coin.low < 0 < coin.high


class _Shapes(HTMLParser):
    """Checks that every element of a page is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_shows_no_patient(model_dir: Path, patients: Path, tmp_path: Path) -> None:
    """It is well-formed, self-contained and has no patient id; small counts are masked."""
    report = tmp_path / "compare.html"
    names = {"HEARTSTREAM_MODEL__NAME": "logistic_regression", "HEARTSTREAM_CHALLENGER__NAME": "random_forest"}
    done = run(patients, "--champion", model_dir, "--challenger", model_dir, "-o", report, **names)
    assert (done.returncode, "random_forest" in done.stdout) == (0, True)
    page = report.read_text(encoding="utf-8")
    shapes = _Shapes()
    shapes.feed(page)
    assert shapes.open == []
    assert not re.search("https?:|src=|<script", page)
    assert not [record for record in real_patients() if str(record["patient_id"]) in page]
    assert 'class="few"' in page


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["patients.csv"], 78, "give --challenger, or set HEARTSTREAM_CHALLENGER__PATH"),
        (["--challenger", "model-2"], 78, "--champion, --challenger, --coding and reading options need a file"),
        (["patients.csv", "--challenger", "/nowhere"], 65, "/nowhere"),
    ],
)
def test_invalid_comparisons_are_reported(model_dir: Path, arguments: list[str], code: int, told: str) -> None:
    """The exit code distinguishes usage, data and model errors."""
    models = ["--champion", model_dir] if "/nowhere" in arguments else []
    done = run(*arguments, *models)
    assert (done.returncode, told in done.stderr) == (code, True), done.stderr
