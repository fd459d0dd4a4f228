"""Each record has one outcome, in order, the same in any batch; and no bytes make scoring raise."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heartstream.files.score import score_batch
from schemas.codec import decode_score, encode_scores
from schemas.records import PatientRecord, Source
from scoring.scorer import Scorer
from tests.support.examples import accepted, rejected, rejected_unwritten
from tests.support.models import as_values, every_missing_pattern
from tests.support.outcomes import Outcome, Rejected, Scored, process
from tests.support.record_strategies import legal_records, near_records, values
from tests.support.spark_table import BAD
from tests.support.spark_table import table as patients_and_bad_rows
from tests.support.uci import FEATURE_NAMES, FOREIGN_NAMES, validate

LEGAL = dict(accepted())["complete"]
EVERY_EXAMPLE = [value for _, value in accepted()] + [value for _, value, _ in [*rejected(), *rejected_unwritten()]]
SOURCES = st.none() | st.builds(Source, st.just("patients"), st.integers(0, 99), st.integers(0, 2**40))
MANY = settings(max_examples=400)
each_model = pytest.mark.parametrize("model", ["scorer", "forest_scorer"])


def scored_alone(value: bytes | None, source: Source | None, scorer: Scorer) -> Outcome:
    (outcome,) = process([value], [source], scorer)
    return outcome


@MANY
@given(value=values() | st.none(), source=SOURCES)
def test_record_is_scored_if_and_only_if_it_is_valid(scorer: Scorer, value: bytes | None, source: Source) -> None:
    """A valid record has a score, any other exactly the issues that `validate` finds."""
    verdict, outcome = validate(value), scored_alone(value, source, scorer)
    if isinstance(verdict, PatientRecord):
        assert isinstance(outcome, Scored)
    else:
        assert Rejected(verdict) == outcome


@given(batch=st.lists(st.tuples(values() | st.none(), SOURCES), max_size=6))
def test_batch_changes_no_outcome(scorer: Scorer, batch: list[tuple[bytes | None, Source | None]]) -> None:
    """A record has the same outcome, byte for byte, alone and anywhere in a batch."""
    expected = [scored_alone(value, source, scorer) for value, source in batch]
    assert expected == process([value for value, _ in batch], [source for _, source in batch], scorer)


@given(st.lists(legal_records() | near_records(), max_size=8), st.integers(0, 20))
def test_batch_changes_no_outcome_of_a_forest(forest_scorer: Scorer, batch: list[bytes], size: int) -> None:
    """The same holds for a forest with other records in the batch."""
    expected = [scored_alone(value, None, forest_scorer) for value in batch]
    padded = [LEGAL] * size + batch + [LEGAL] * (20 - size)
    assert expected == process(padded, [None] * len(padded), forest_scorer)[size : size + len(batch)]


@each_model
def test_every_missing_pattern_scores_the_same_alone(model: str, request: pytest.FixtureRequest) -> None:
    """A record's missing fields, of 1,024 sets, affect no other record of its batch."""
    scorer, batch = request.getfixturevalue(model), as_values(every_missing_pattern())
    together = process(batch, [None] * len(batch), scorer)
    assert [scored_alone(value, None, scorer) for value in batch] == together


@each_model
def test_every_example_has_its_outcome_in_one_batch(model: str, request: pytest.FixtureRequest) -> None:
    """Accepted and rejected examples in one batch keep their order."""
    scorer = request.getfixturevalue(model)
    expected = [scored_alone(value, None, scorer) for value in EVERY_EXAMPLE]
    assert expected == process(EVERY_EXAMPLE, [None] * len(EVERY_EXAMPLE), scorer)


@given(legal_records(), SOURCES)
def test_score_survives_decoding_and_encoding(scorer: Scorer, value: bytes, source: Source | None) -> None:
    """A consumer that decodes and encodes it again gets the same bytes."""
    outcome = scored_alone(value, source, scorer)
    assert isinstance(outcome, Scored)
    assert outcome.value == msgspec.json.encode(decode_score(outcome.value))


@given(legal_records(), SOURCES)
def test_score_belongs_to_its_record(scorer: Scorer, value: bytes, source: Source | None) -> None:
    """Patient id, source, model, threshold and missing fields are those of the record and the model."""
    record, outcome = validate(value), scored_alone(value, source, scorer)
    assert isinstance(record, PatientRecord)
    assert isinstance(outcome, Scored)
    score = decode_score(outcome.value)
    missing = tuple(name for name in FEATURE_NAMES if getattr(record, name) is None)
    expected = (record.patient_id, source, scorer.model, scorer.manifest.threshold, missing)
    assert expected == (score.patient_id, score.source, score.model, score.threshold, score.missing)


def test_same_record_gives_the_same_bytes_again(scorer: Scorer) -> None:
    """A score contains no time and nothing random."""
    assert scored_alone(LEGAL, None, scorer) == scored_alone(LEGAL, None, scorer)


def test_notation_does_not_change_the_score(scorer: Scorer) -> None:
    """The same numbers in any JSON notation and order give the same bytes."""
    examples = dict(accepted())
    names = ("integral-floats", "exponents", "coding-uci", "escaped-field-names", "field-order-shuffled", "white-space")
    names += tuple(f"coding-{name}" for name in FOREIGN_NAMES)
    outcomes = [scored_alone(examples[name], None, scorer) for name in ("complete", *names)]
    assert {outcome.value if isinstance(outcome, Scored) else None for outcome in outcomes} == {
        outcomes[0].value if isinstance(outcomes[0], Scored) else b""
    }


def test_slow_path_scores_like_the_fast_one(scorer: Scorer) -> None:
    """A record that needs the slow path, for an escaped quote in its id, has the score of the fast path."""
    slow = scored_alone(dict(accepted())["escaped-quote-in-patient-id"], None, scorer)
    fast = scored_alone(LEGAL, None, scorer)
    assert isinstance(slow, Scored)
    assert isinstance(fast, Scored)
    assert decode_score(fast.value) == msgspec.structs.replace(decode_score(slow.value), patient_id="cleveland-1")


def test_codes_for_missing_score_like_null(scorer: Scorer) -> None:
    """-9 and 0 for "not measured" give the same bytes as null."""
    examples = dict(accepted())
    expected = scored_alone(examples["all-optional-null"], None, scorer)
    assert expected == scored_alone(examples["minus-nine-for-missing"], None, scorer)


def test_empty_batch_has_no_outcomes(scorer: Scorer) -> None:
    """An empty batch is not a special case for callers."""
    assert process([], [], scorer) == []


def test_batch_of_only_invalid_records_is_rejected(scorer: Scorer) -> None:
    """A batch with nothing left to score is not a special case."""
    outcomes = process([None, b"{}", b"no"], [None] * 3, scorer)
    assert [isinstance(outcome, Rejected) for outcome in outcomes] == [True] * 3


@pytest.mark.parametrize("size", [7, 1000])
@pytest.mark.parametrize("model", ["scorer", "pattern_scorer", "forest_scorer"])
@pytest.mark.parametrize("kind", ["lines", "columns"])
def test_score_columns_equal_the_json_scores(kind: str, model: str, size: int, request: pytest.FixtureRequest) -> None:
    """To the last bit, for the patients of four hospitals with rejected records between them."""
    batches = patients_and_bad_rows().to_batches(size)
    assert sum(batch.num_rows for batch in batches) == 920 + len(BAD)
    rejected = 0
    for batch in batches:
        values = [json.dumps(row).encode() for row in batch.to_pylist()]
        given = values if kind == "lines" else batch
        results = score_batch(given, request.getfixturevalue(model))
        decoded = [decode_score(score) for score in encode_scores(results.scores)]
        assert [score.risk.hex() for score in decoded] == [risk.hex() for risk in results.risks.tolist()]
        assert [score.label for score in decoded] == [int(label) for label in results.labels.tolist()]
        assert len(decoded) + len(results.rejected) == batch.num_rows
        rejected += len(results.rejected)
    assert rejected == len(BAD)
