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
from scoring.features import Matrix
from scoring.missingness import MissingPatterns
from scoring.scorer import Scorer
from tests.support.other_tables import table, write_model_of
from training.arrays import Labels
from training.candidates import new_pattern_submodels, new_pipeline
from training.evaluation.cross_validation import stratified_folds
from training.evaluation.repeated_cv import gap_sets, gap_sets_of
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
