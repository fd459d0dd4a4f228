"""`load_model(...).score(...)` has the outcomes of every other interface, in whatever form the records are passed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from heartstream import (
    ArtifactError,
    DataError,
    Details,
    Model,
    PatientRecord,
    Rejection,
    Results,
    Score,
    ValidationIssue,
    encode_score,
    load_model,
)
from heartstream.demo.patients import real_patients
from heartstream.files.batching import BATCH_ROWS
from heartstream.files.dataframes import ArrowTable
from heartstream.spark import ModelBundle, scored
from schemas.records import Source
from scoring.scorer import Scorer
from tests.support.examples import accepted, rejected, rejected_unwritten, shows_another_coding
from tests.support.outcomes import Scored, process
from tests.support.public_copies import copy_records, uci_records
from tests.support.signing_keys import Keys
from tests.support.spark_table import BAD, table
from tests.support.uci import COLUMN_NAMES, UCI

SOURCE = Source("patients", 3, 4711)
MODELS = ["logistic_regression", "pattern_submodels", "random_forest", "gradient_boosting"]
VALUES = [value for _, value in accepted()] + [value for _, value, _ in [*rejected(), *rejected_unwritten()]]
COMPLETE = dict(accepted())["complete"]


@pytest.fixture(scope="module")
def model(model_dir: Path) -> Model:
    return load_model(model_dir)


def same_as_each(results: Results, outcomes: Sequence[bytes | tuple[ValidationIssue, ...]]) -> bool:
    """Return whether the results equal these outcomes, byte for byte."""
    return [encode_score(each) if isinstance(each, Score) else each.errors for each in results] == [*outcomes]


def numbers(count: int) -> pd.DataFrame:
    return pd.DataFrame(real_patients()[:count])


@pytest.mark.parametrize("name", MODELS)
def test_an_example_has_the_outcome_of_the_worker(name: str, model_dir: Path) -> None:
    """The score's bytes, with a source added, or the same faults in order."""
    model, scorer = load_model(model_dir, name=name), Scorer.from_directory(model_dir, name)
    for value in VALUES:
        (outcome,) = process([value], [SOURCE], scorer)
        (result,) = model.score([value])
        if isinstance(outcome, Scored):
            assert isinstance(result, Score)
            assert encode_score(msgspec.structs.replace(result, source=SOURCE)) == outcome.value
        else:
            assert result == Rejection(outcome.issues)


def test_results_have_the_order_of_the_records(model: Model) -> None:
    """For more records than one batch, valid and invalid, from an iterator."""
    values = [value for value in VALUES if not shows_another_coding(value or b"")]
    alone = [model.score([value])[0] for value in values]
    count = BATCH_ROWS // len(values) + 2
    assert [*model.score(iter(values * count))] == alone * count


@pytest.mark.parametrize("name", [name for name, _ in accepted()])
def test_a_record_may_be_text_or_an_object(name: str, model: Model) -> None:
    """JSON as bytes or str, a mapping and a `PatientRecord` have the same result."""
    value = dict(accepted())[name]
    record = msgspec.json.decode(value, type=model.record_type)
    assert len({encode_score(each) for each in model.score([value, value.decode(), json.loads(value), record])}) == 1


def test_numpy_numbers_are_accepted(model: Model) -> None:
    """They are scored like the Python numbers that they equal."""
    plain = json.loads(COMPLETE)
    boxed = {
        name: value if name == "patient_id" else (np.int64 if isinstance(value, int) else np.float32)(value)
        for name, value in plain.items()
    }
    boxed["oldpeak"] = np.float64(plain["oldpeak"])
    assert model.score([boxed])[0] == model.score([plain])[0]


@pytest.mark.parametrize("make", [dict, lambda fields: UCI.records.type(**fields)], ids=["mapping", "PatientRecord"])
@pytest.mark.parametrize("value", [float("nan"), np.float64("nan"), np.float32("nan"), float("inf")])
def test_nan_in_a_record_is_rejected(
    value: float, make: Callable[[dict[str, object]], dict[str, object] | PatientRecord], model: Model
) -> None:
    """NaN is an error, as a missing value is None."""
    (result,) = model.score([make({**json.loads(COMPLETE), "ca": value})])
    assert isinstance(result, Rejection)
    assert [(str(issue.code), issue.pointer) for issue in result.errors] == [("not_finite", "/ca")]


class Exported:
    """A table of an unknown library that implements Arrow's C stream interface."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("wrap", [lambda given: given, Exported], ids=["pyarrow", "exported"])
def test_a_row_of_a_table_has_the_outcome_of_spark(wrap: Callable[[pa.Table], ArrowTable], model_dir: Path) -> None:
    """The patients of four hospitals and invalid rows: the same bytes and faults, in the table's order."""
    given = table()
    bundle = ModelBundle.of(model_dir, None, None, Details())
    expected = pa.Table.from_batches(scored(bundle, given.to_batches())).to_pylist()
    results = load_model(model_dir).score(wrap(given))
    assert same_as_each(
        results,
        [
            row["score"].encode()
            if row["errors"] is None
            else msgspec.json.decode(row["errors"], type=tuple[ValidationIssue, ...])
            for row in expected
        ],
    )
    assert [None if np.isnan(risk) else risk for risk in results.risks] == [row["risk"] for row in expected]
    assert set(results.rejections) == {place for place, row in enumerate(expected) if row["errors"]}
    assert len(results.rejections) == len(BAD)


def test_a_pandas_data_frame_is_scored_by_its_rows(model: Model) -> None:
    """The index is ignored, and pandas' missing values are not measured, in any column type."""
    frame = numbers(300)
    frame["ca"] = frame["ca"].astype("Float64")
    frame["slope"] = frame["slope"].astype(object).where(frame["slope"].notna(), None)
    frame["patient_id"] = frame["patient_id"].astype("category")
    frame = frame[frame["age"] > 50].sort_values("chol")
    records = [
        {name: None if pd.isna(value) else value for name, value in row.items()} for row in frame.to_dict("records")
    ]
    assert 0 < len(records) < 300
    assert any(record["ca"] is None for record in records)
    assert [*model.score(frame)] == [*model.score(records)]


def test_nan_of_arrow_is_not_null(model: Model) -> None:
    """As in a Parquet file null is not measured and NaN is an error."""
    given = pa.Table.from_pandas(numbers(2), preserve_index=False)
    columns = {name: given[name] for name in COLUMN_NAMES}
    columns["chol"] = pa.array([float("nan"), None])
    first, second = model.score(pa.table(columns))
    assert isinstance(first, Rejection)
    assert isinstance(second, Score)
    assert [str(issue.code) for issue in first.errors] == ["not_finite"]
    assert "chol" in second.missing


def test_empty_input_gives_empty_results(model: Model) -> None:
    """An empty list or data frame is not an error."""
    for empty in ([], numbers(3)[:0], pd.DataFrame(columns=list(COLUMN_NAMES))):
        results = model.score(empty)
        assert (len(results), results.risks.shape, results.rejections) == (0, (0,), {})


def test_all_problems_of_a_table_are_reported_without_values(model: Model) -> None:
    """Missing, unknown and repeated columns, then types; each with the required columns."""
    frame = numbers(3)
    wrong = frame.drop(columns=["ca"]).assign(SECRET=1, SECRET2="SECRET3")
    wrong = pd.concat([wrong, frame["chol"]], axis=1)
    hint = f"Its columns must be {', '.join(COLUMN_NAMES)}"
    names = "no column ca; 2 column(s) that are not fields of a patient record; more than one column chol"
    types = "patient_id is not a column of text; age is not a column of integers or floats"
    mixed = frame.assign(patient_id=range(3), age=["SECRET", 1, None])
    for given, problems in ((wrong, names), (mixed, types)):
        with pytest.raises(DataError) as caught:
            model.score(given)
        assert str(caught.value) == f"the table is refused: {problems}. {hint}"
        assert caught.value.__cause__ is caught.value.__context__ is None


@pytest.mark.parametrize("kind", [pa.string(), pa.bool_(), pa.decimal128(5, 2), pa.date32()], ids=str)
def test_a_column_of_another_type_is_refused(kind: pa.DataType, model: Model) -> None:
    """Text, booleans, decimals and dates are not converted."""
    given = pa.Table.from_pandas(numbers(1), preserve_index=False)
    given = given.set_column(given.column_names.index("fbs"), "fbs", pa.nulls(1, kind))
    with pytest.raises(DataError, match="fbs is not a column of integers or floats"):
        model.score(given)


def test_an_unsupported_record_type_is_a_type_error(model: Model) -> None:
    """It has the record's position and type, the accepted types, and no value."""
    record = json.loads(COMPLETE)
    cases: list[tuple[object, str]] = [
        (record, "put a single one into a list"),
        (COMPLETE, "put a single one into a list"),
        ([record, 4711], "record 1 is of type int: give a PatientRecord, a mapping, or JSON as bytes or str"),
        (np.ones((2, 14)), "record 0 is of type ndarray"),
        ([{**record, "ca": pd.NA}], "record 0 contains a NAType: use numbers, and None for values not measured"),
        ([{**record, "ca": Path("4711")}], "record 0 contains a PosixPath"),
    ]
    for given, text in cases:
        with pytest.raises(TypeError, match=text) as caught:
            model.score(given)  # type: ignore[arg-type]
        assert "4711" not in str(caught.value)
    with pytest.raises(DataError, match="not one of named columns"):
        model.score(pd.Series([4711.0]))


def test_a_source_in_another_coding_needs_its_coding(model: Model) -> None:
    """As for a batch over HTTP; with the coding, by argument or per record, the scores equal UCI's."""
    records, expected = copy_records("kaggle-303"), [*model.score(uci_records("kaggle-303"))]
    refused = model.score(records)
    assert len(refused.rejections) == len(records)
    assert {str(each.errors[0].code) for each in refused.rejections.values()} == {"foreign_source", "foreign_code"}
    frame = pd.DataFrame([json.loads(record) for record in records])
    for results in (
        model.score(records, coding="kaggle-303"),
        model.score(copy_records("kaggle-303", coding="kaggle-303")),
        model.score(frame, coding="kaggle-303"),
    ):
        assert [*results] == expected
    assert len(model.score(frame).rejections) == len(frame)
    with pytest.raises(DataError, match="the coding must be one of"):
        model.score(records, coding="SECRET")


def test_an_input_digest_needs_bytes(model_dir: Path) -> None:
    """JSON has the worker's digest, a table row has none, and an object is refused because it has no bytes."""
    model = load_model(model_dir, details=Details(input_digest=True))
    (outcome,) = process([COMPLETE], [None], Scorer.from_directory(model_dir, details=Details(input_digest=True)))
    assert isinstance(outcome, Scored)
    assert same_as_each(model.score([COMPLETE]), [outcome.value])
    row = model.score(numbers(1))[0]
    assert isinstance(row, Score)
    assert row.input_digest is None
    with pytest.raises(TypeError, match="record 0 has no original bytes for input_digest: give records as JSON"):
        model.score([json.loads(COMPLETE)])


def test_results_are_a_sequence_without_patients_in_its_repr(model: Model) -> None:
    """They can be sliced; in a log they are two counts."""
    results = model.score([COMPLETE, b"SECRET"])
    assert [*results[1:]] == [results[-1]]
    assert isinstance(results[-1], Rejection)
    assert repr(results) == "<heartstream.Results: 1 scored, 1 rejected>"


def test_a_model_describes_itself(model: Model, model_dir: Path) -> None:
    """Its reference and threshold are those of its scores, and the disclaimer is the manifest's."""
    (score,) = model.score([COMPLETE])
    assert isinstance(score, Score)
    assert (model.ref, model.threshold) == (score.model, score.threshold)
    assert model.disclaimer == Scorer.from_directory(model_dir).manifest.data.disclaimer


def test_an_invalid_model_is_refused(model_dir: Path, signed: Path, keys: Keys, tmp_path: Path) -> None:
    """A missing directory, another name, a changed file, a missing or wrong signature: the error says which."""
    changed = tmp_path / "changed"
    shutil.copytree(model_dir, changed)
    (changed / "best_model.joblib").write_bytes(b"")
    key, other = keys.public.read_bytes(), Keys(tmp_path, "other").public.read_bytes()
    assert load_model(signed, public_key=key).ref == load_model(str(model_dir)).ref
    for text, load in (
        ("no model at .*nowhere: cannot read manifest.json", lambda: load_model(tmp_path / "nowhere")),
        ("no model named SVM; there are gradient_boosting", lambda: load_model(model_dir, name="SVM")),
        ("best_model.joblib: has 0 bytes", lambda: load_model(changed)),
        ("is not signed", lambda: load_model(model_dir, public_key=key)),
        ("is not a signature of the manifest", lambda: load_model(signed, public_key=other)),
        ("the public key is not a PEM file", lambda: load_model(signed, public_key=b"nonsense")),
    ):
        with pytest.raises(ArtifactError, match=text):
            load()
