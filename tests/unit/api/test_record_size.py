"""What memory is reserved for a record is enough for any record of the feature table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from api.batch_scoring import JSON_DELIMITERS
from api.limits.record_size import RecordSize
from api.problem_details import rejected_record_json
from schemas.codec import encode_score
from schemas.records import Details
from schemas.tables.builtin import UCI_HEART
from schemas.tables.feature_table import FeatureTable
from scoring.batches import JsonBatch
from scoring.compiled_table import CompiledTable
from scoring.model_artifact import load
from scoring.scorer import Scorer
from tests.support.other_tables import NAMES, table, write_model_of

TABLES = [UCI_HEART, *map(table, NAMES)]


def invalid_records(own: FeatureTable) -> Iterator[dict[str, Any]]:
    """Yield records with one invalid value of each kind in all fields, with and without a coding."""
    for value in ("x" * 20, -1e9, 1e9, 0, 0.5, 4.5, 9, 13, 25, 100, 500, None, [], True):
        for coding in (None, *own.coding_by_name):
            named = {} if coding is None else {"coding": coding}
            yield {"patient_id": "p" * 128, **dict.fromkeys(own.names, value), **named}
    yield {}


@pytest.mark.parametrize("own", TABLES, ids=lambda own: own.name)
def test_no_rejection_is_larger_than_the_size_reserved(own: FeatureTable) -> None:
    """And no valid record has more structural characters than are allowed."""
    compiled = CompiledTable(own)
    size = RecordSize.of(compiled.records, 3)
    for record in invalid_records(own):
        found = compiled.records.validate(msgspec.json.encode(record))
        if isinstance(found, tuple):
            assert len(rejected_record_json(2_499, found)) <= size.response_bytes
    line = msgspec.json.encode({**own.example, "coding": own.own_coding}) + b","
    assert sum(map(line.count, JSON_DELIMITERS)) <= size.delimiters


def test_no_score_is_larger_than_the_size_reserved(tmp_path: Any) -> None:
    """With every field missing that may be, every other outside of the training range, and all reasons."""
    own = table("flchain")
    scorer = Scorer(load(write_model_of(own, tmp_path / "model")), Details(reasons=200, input_digest=True))
    size = RecordSize.of(scorer.compiled.records, 200)
    required = {"age": 120, "sex": "M", "sample_yr": 1990}
    record = {"patient_id": "p" * 128, **dict.fromkeys(own.names), **required}
    batch = JsonBatch([msgspec.json.encode(record)]).decode(scorer.compiled)
    (score,) = scorer.score(batch).scores
    assert len(encode_score(score)) <= size.response_bytes
