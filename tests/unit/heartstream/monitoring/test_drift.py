"""`heartstream drift`: real patients of the four hospitals against the training patients."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from heartstream.demo.patients import real_patients
from heartstream.monitoring.drift import verdict
from heartstream.monitoring.drift.counting import DriftCounts, count_file
from heartstream.monitoring.drift.html_report import page
from heartstream.monitoring.drift.verdict import Verdict
from heartstream.reports.html_page import masked_share
from schemas.errors import ArtifactError
from scoring.drift import ENOUGH_RECORDS, Census, Window
from scoring.model_artifact import load
from scoring.scorer import Scorer
from tests.support.drift import INPUTS, SCORES, limits
from tests.support.uci import FEATURE_NAMES, UCI
from training.data.frames import features, read_snapshot


def patients(site: str) -> list[dict[str, Any]]:
    return [record for record in real_patients() if str(record["patient_id"]).startswith(f"{site}-")]


def written(folder: Path, name: str, records: Sequence[dict[str, Any]]) -> Path:
    """Write records as NDJSON or CSV, by the file name."""
    path = folder / name
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            rows = csv.DictWriter(file, ["patient_id", *FEATURE_NAMES])
            rows.writeheader()
            rows.writerows(records)
        else:
            file.writelines(json.dumps(record) + "\n" for record in records)
    return path


def counted(model_dir: Path, path: Path) -> DriftCounts:
    return count_file(load(model_dir), path, None, lambda _done, _total, _tally: None)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "heartstream", "drift", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("site", ["va", "hungarian", "switzerland", "cleveland"])
def test_other_hospitals_drift_and_the_training_hospital_does_not(model_dir: Path, tmp_path: Path, site: str) -> None:
    """With --fail-on-drift the exit code is 1. Switzerland has too few patients to report."""
    path = written(tmp_path, "patients.ndjson", patients(site))
    found = run(path, "--model", model_dir, "--fail-on-drift", "--json")
    drifts = site in {"va", "hungarian"}
    assert (found.returncode, json.loads(found.stdout)["drifts"]) == (int(drifts), drifts)
    assert run(path, "--model", model_dir).returncode == 0


def test_the_counts_do_not_depend_on_the_format(model_dir: Path, tmp_path: Path) -> None:
    """CSV and NDJSON give the same counts, and a rejected row is in none of them."""
    records = [*patients("va"), {**patients("va")[0], "age": 630}]
    ndjson, table = (counted(model_dir, written(tmp_path, name, records)) for name in ("p.ndjson", "p.csv"))
    assert msgspec.json.encode(ndjson) == msgspec.json.encode(table)
    assert (ndjson.tally.scored, ndjson.tally.codes) == (200, {"out_of_range": 1})


def test_rows_on_the_slow_path_are_counted_once(model_dir: Path, tmp_path: Path) -> None:
    """A CSV whose ids need individual validation counts each record once."""
    records = patients("va")
    records[0]["patient_id"] = "x" * 128 + "y"
    records[1]["age"] = "61.0e0"
    found = counted(model_dir, written(tmp_path, "p.csv", records))
    assert (found.tally.scored, found.drift.records) == (199, 199)


def test_a_census_equals_a_window_of_the_same_records(model_dir: Path) -> None:
    """In batches of any size."""
    artifact = load(model_dir)
    assert artifact.reference is not None
    matrix = features(read_snapshot(["va", "hungarian"]))
    risks = Scorer(artifact).risks(matrix)
    census, window = (
        kind(artifact.reference, artifact.model.name, artifact.manifest.training_range, *more)
        for kind, more in ((Census, (UCI,)), (Window, (1_000, UCI)))
    )
    for first in range(0, len(matrix), 50):
        census.add(matrix[first : first + 50], risks[first : first + 50])
        window.add(matrix[first : first + 50], risks[first : first + 50])
    assert census.measure() == window.measure()
    fields = census.fields()
    assert {sum(field.measured.counts) + field.missing for field in fields.values()} == {len(matrix)}
    assert [fields[name].missing for name in FEATURE_NAMES] == np.isnan(matrix).sum(axis=0).tolist()
    assert (sum(census.risks().counts), sum(census.patterns.values())) == (len(matrix), len(matrix))


def test_the_limits_are_those_of_the_alerts() -> None:
    """The report and the alerts use the same thresholds."""
    assert limits() == {
        INPUTS: {
            "heartstream_drift_psi": verdict.PSI_LARGE,
            "heartstream_drift_missing_share_difference": verdict.MAX_MISSING_CHANGE,
            "heartstream_drift_out_of_range_share": verdict.MAX_OUT_OF_RANGE,
        },
        SCORES: {"heartstream_drift_score_psi": verdict.PSI_LARGE},
    }


def test_the_report_is_self_contained_and_names_no_patient(model_dir: Path, tmp_path: Path) -> None:
    """No URL, no script, no id; the same records give the same bytes."""
    found = counted(model_dir, written(tmp_path, "p.ndjson", patients("va")))
    text = page(found, Verdict.of(found.model, found.drift), "p.ndjson")
    assert text == page(found, Verdict.of(found.model, found.drift), "p.ndjson")
    assert re.findall(r"https?://|<script|<link|url\(|@import|va-\d", text) == []


def test_external_text_is_escaped(model_dir: Path, tmp_path: Path) -> None:
    """A file name is text, not HTML."""
    found = counted(model_dir, written(tmp_path, "p.ndjson", patients("va")))
    assert "<img" not in page(found, Verdict.of(found.model, found.drift), "<img src=x>.csv")


def test_small_counts_are_masked(model_dir: Path, tmp_path: Path) -> None:
    """One patient and four in a bin give the same report."""
    base = patients("cleveland")[:295]
    young = {**base[0], "age": 20}
    assert [masked_share(count, 300) for count in (0, 1, 4, 5)] == ["0%", "fewer than 5", "fewer than 5", "2%"]
    for extra in (1, 4):
        path = written(tmp_path, f"{extra}.ndjson", [*base, *([{**young, "thal": None}] * extra)])
        found = counted(model_dir, path)
        text = page(found, Verdict.of(found.model, found.drift), "x")
        assert "fewer than 5 of these records" in text


def test_fewer_than_200_records_are_not_evaluated(model_dir: Path, tmp_path: Path) -> None:
    """They would drift by chance; the report says why nothing is evaluated."""
    found = counted(model_dir, written(tmp_path, "p.ndjson", patients("va")[: ENOUGH_RECORDS - 1]))
    judged = Verdict.of(found.model, found.drift)
    assert not judged.drifts
    assert "Not evaluated" in page(found, judged, "x")


@pytest.mark.parametrize("arguments", [(), ("p.csv", "--topic", "10")])
def test_it_needs_either_a_file_or_a_topic(arguments: Sequence[str], model_dir: Path) -> None:
    """Neither and both are refused."""
    assert run(*arguments, "--model", model_dir).returncode == 78


def test_a_directory_without_a_reference_is_refused(model_dir: Path, tmp_path: Path) -> None:
    """There is nothing to compare with, and the error suggests training again."""
    artifact = msgspec.structs.replace(load(model_dir), reference=None)
    path = written(tmp_path, "p.ndjson", patients("va"))
    with pytest.raises(ArtifactError, match="train the model again"):
        count_file(artifact, path, None, lambda _done, _total, _tally: None)
