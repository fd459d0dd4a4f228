"""Tables with more than ten optional fields: a model is evaluated, and stays unbiased, whatever is missing."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

from schemas.records import WarningCode
from scoring.batches import JsonBatch
from scoring.compiled_table import CompiledTable
from scoring.engines import LinearEngine
from scoring.features import Matrix
from scoring.missingness import MissingPatterns
from scoring.model_artifact import load
from scoring.portable_model import PortableModel
from scoring.scorer import Scorer
from tests.support.other_tables import table, write_model_of
from training.arrays import Labels
from training.candidates import new_pattern_submodels, new_pipeline
from training.evaluation.cross_validation import stratified_folds
from training.evaluation.recalibration import Line
from training.evaluation.repeated_cv import gap_sets, gap_sets_of
from training.export.recalibrated_files import linear_model, recalibrated_files, recalibrated_plain
from training.export.replace_folder import replace_folder
from training.listed_patterns import FEWEST, MOST_LISTED, listed_patterns

TABLE = table("wdbc")
PATTERNS = MissingPatterns(TABLE)


@cache
def patients(share: float) -> tuple[Matrix, Labels]:
    """Return the Wisconsin patients with a share of the values missing at random, and who has a malignant tumour."""
    found = load_breast_cancer()
    matrix = found.data.copy()
    matrix[np.random.default_rng(3).random(matrix.shape) < share] = np.nan
    return matrix, (found.target == 0).astype(np.int64)


@pytest.mark.parametrize(("share", "listed"), [(0.1, False), (0.3, False), (0.3, True), (0.5, True)])
def test_mean_risk_is_the_prevalence_for_every_pattern_that_occurs(share: float, listed: bool) -> None:  # noqa: FBT001
    """Within 0.03, out of fold, when all patients lack the fields that one of them lacks."""
    matrix, labels = patients(share)
    complete, _ = patients(0.0)
    compiled = CompiledTable(TABLE, listed_patterns(matrix, TABLE) if listed else ())
    pipeline = new_pipeline(new_pattern_submodels(compiled, 1), compiled)
    masks = np.isnan(matrix[:60])
    risks = np.empty((len(masks), len(labels)))
    for train, test in stratified_folds(labels, 1):
        fitted = pipeline.fit(matrix[train], labels[train])
        for row, mask in enumerate(masks):
            risks[row, test] = fitted.predict_proba(np.where(mask, np.nan, complete[test]))[:, 1]
    assert np.abs(risks.mean(axis=1) - labels.mean()).max() < 0.03


def test_listed_patterns_are_those_that_are_evaluated_and_occur() -> None:
    """The table's gaps, each with one field restored, single fields, and the most frequent patterns of the rows."""
    matrix, _ = patients(0.0)
    matrix = matrix.copy()
    often, once = [3, 17, 20], [4, 5, 6, 7]
    matrix[100:140, often] = np.nan
    matrix[7, once] = np.nan
    found = set(listed_patterns(matrix, TABLE))
    expected = {sum(1 << field for field in fields) for fields in (often, [3, 17], [3, 20], [17, 20], once)}
    expected |= {PATTERNS.without(fields) for fields in gap_sets(TABLE).values()}
    expected |= {1 << field for field in range(30)}
    assert expected <= found
    assert len(found) < MOST_LISTED
    name = PATTERNS.name(PATTERNS.without([TABLE.names[field] for field in often]))
    assert [*gap_sets_of(matrix, TABLE)] == [*gap_sets(TABLE), name]


def test_the_number_of_listed_patterns_is_limited() -> None:
    """Nearly every patient has a pattern of their own; of many rows, only the most frequent ones are listed."""
    matrix, _ = patients(0.3)
    assert MOST_LISTED - 1 <= len(listed_patterns(matrix, TABLE)) <= MOST_LISTED
    assert FEWEST - 1 <= len(listed_patterns(np.tile(matrix, (200, 1)), TABLE)) <= FEWEST


def test_every_gap_is_listed_however_many_rows_there_are() -> None:
    """With half of the rows without a field, too, which every listed pattern is then combined with."""
    matrix = np.tile(patients(0.0)[0], (100, 1))
    matrix[: len(matrix) * 2 // 3, 0] = np.nan
    for start in range(1, 11):
        matrix[start::40, start : start + 15] = np.nan
    found = MissingPatterns(TABLE, listed_patterns(matrix, TABLE))
    assert found.count <= FEWEST
    for fields in gap_sets_of(matrix, TABLE).values():
        assert found.row(found.without(fields)) < found.count
        assert found.row(found.without(fields) | 1) < found.count


def test_a_recalibration_applies_its_line_to_derived_sub_models(tmp_path: Path) -> None:
    """Log-odds of any pattern, listed or not, move along the line; engine and pickle agree."""
    artifact = load(write_model_of(TABLE, tmp_path / "model"))
    line = Line(-2.0, 0.5)
    again = recalibrated_plain(recalibrated_plain(linear_model(artifact), line), Line(0.25, 1.5))
    compiled = CompiledTable(TABLE, artifact.manifest.missing_patterns)
    rows = np.where(np.isnan(patients(0.3)[0]), np.nan, patients(0.0)[0])

    def log_odds(plain: PortableModel) -> Matrix:
        assert plain.linear is not None
        found = LinearEngine(plain.plan, plain.center, plain.linear, compiled).explain(rows).log_odds
        assert found is not None
        return found

    before = log_odds(linear_model(artifact))
    np.testing.assert_allclose(log_odds(again), 0.25 + 1.5 * (-2.0 + 0.5 * before), rtol=0, atol=1e-9)
    replace_folder(tmp_path / "new", recalibrated_files(artifact, line, "2", {}))
    served = Scorer.from_directory(tmp_path / "new")
    assert (served.engine, served.fallback_reason) == ("linear", None)


def test_a_score_of_an_unlisted_pattern_claims_no_more_than_it_can_keep(tmp_path: Path) -> None:
    """It says which values were estimated, and has no interval, label set or field to measure next."""
    scorer = Scorer.from_directory(write_model_of(TABLE, tmp_path / "model"))
    values = dict(zip(TABLE.names, load_breast_cancer().data[0].tolist(), strict=True))
    absent = set(TABLE.names[1:12:2])
    assert PATTERNS.without(absent) not in scorer.manifest.missing_patterns
    records = [{"patient_id": "p", **values}, {"patient_id": "q", **values, **dict.fromkeys(absent)}]
    batch = JsonBatch([msgspec.json.encode(record) for record in records]).decode(scorer.compiled)
    complete, other = (msgspec.json.decode(msgspec.json.encode(score)) for score in scorer.score(batch).outcomes())
    assert complete["pattern"] == "complete"
    assert complete["interval"] is not None
    assert other["pattern"] is None
    assert (other["interval"], other["label_set"], other["measure_next"]) == (None, None, None)
    assert "sampling_interval" not in other
    assert set(other["missing"]) == absent
    imputed = {each["field"] for each in other["warnings"] if each["code"] == WarningCode.IMPUTED}
    assert imputed == absent
    assert other["reasons"]
