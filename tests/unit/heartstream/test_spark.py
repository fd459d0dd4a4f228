"""Spark scoring without a Spark session; tests with one are in tests/integration/heartstream."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from pyspark.sql import types as spark

from heartstream.files.batching import BATCH_ROWS
from heartstream.spark import ModelBundle, problems_of, scored
from schemas.errors import ArtifactError
from schemas.records import Details
from scoring.model_artifact import MANIFEST_FILE, load
from scoring.signature import SIGNATURE_FILE
from tests.support.models import another_version
from tests.support.signing_keys import Keys
from tests.support.spark_table import BAD, table
from tests.support.uci import COLUMN_NAMES, UCI

Rows = list[dict[str, object]]
each_model = pytest.mark.parametrize("model", ["logistic_regression", "pattern_submodels"])
NUMBERS = [kind() for kind in (spark.ByteType, spark.ShortType, spark.IntegerType, spark.LongType)]
NUMBERS += [spark.FloatType(), spark.DoubleType(), spark.NullType()]
NO_NUMBERS = [
    spark.StringType(),
    spark.BooleanType(),
    spark.DecimalType(10, 2),
    spark.TimestampType(),
    spark.TimestampNTZType(),
    spark.DateType(),
    spark.BinaryType(),
    spark.DayTimeIntervalType(),
    spark.YearMonthIntervalType(),
    spark.CalendarIntervalType(),
    spark.ArrayType(spark.DoubleType()),
    spark.MapType(spark.StringType(), spark.DoubleType()),
    spark.StructType([spark.StructField("SECRET", spark.DoubleType())]),
]


def through_spark(bundle: ModelBundle, batches: list[pa.RecordBatch]) -> Rows:
    """Score as a Python worker of Spark does, with the pickled bundle."""
    found = pa.Table.from_batches(scored(pickle.loads(pickle.dumps(bundle)), iter(batches)))  # noqa: S301  # as Spark does
    return found.to_pylist()


def schema(**changes: spark.DataType) -> spark.StructType:
    """Return the schema of a valid table, except for `changes`."""
    kinds: dict[str, spark.DataType] = dict.fromkeys(COLUMN_NAMES, spark.DoubleType())
    kinds |= {"patient_id": spark.StringType()} | changes
    return spark.StructType([spark.StructField(name, kind) for name, kind in kinds.items()])


@each_model
@pytest.mark.parametrize("rows", [50, 1000])
def test_risk_and_label_are_those_of_the_score(model: str, rows: int, model_dir: Path) -> None:
    """To the last bit, for the patients of four hospitals with rejected rows between them."""
    bundle = ModelBundle.of(model_dir, model, None, Details())
    given = table()
    found = through_spark(bundle, given.to_batches(rows))
    assert [row["patient_id"] for row in found] == given["patient_id"].to_pylist()
    told = [json.loads(str(row["score"])) if row["errors"] is None else None for row in found]
    assert [score and (score["patient_id"], score["risk"].hex(), score["label"]) for score in told] == [
        None if row["errors"] else (row["patient_id"], float(str(row["risk"])).hex(), row["label"]) for row in found
    ]
    assert {row["label"] for row in found} == {0, 1, None}
    assert sum(row["risk"] is row["label"] is row["score"] is None for row in found) == len(BAD)


def test_a_large_batch_is_scored_in_parts(model_dir: Path) -> None:
    """Spark can pass any number of rows at once, and the text of their scores would be too large for Arrow."""
    given = pa.concat_tables([table()] * 10).combine_chunks().to_batches()
    found = list(scored(ModelBundle.of(model_dir, None, None, Details()), given))
    assert [part.num_rows for part in found] == [BATCH_ROWS, 10 * table().num_rows - BATCH_ROWS]
    assert pa.Table.from_batches(found)["patient_id"].to_pylist() == given[0]["patient_id"].to_pylist()


def test_a_void_column_is_not_measured(model_dir: Path) -> None:
    """In any position: the same scores, and for the id the fault of a record without one."""
    bundle = ModelBundle.of(model_dir, None, None, Details())
    given = table()
    place = COLUMN_NAMES.index("ca")
    void, number = (
        given.set_column(place, "ca", pa.nulls(given.num_rows, kind)).to_batches() for kind in (None, pa.float64())
    )
    assert through_spark(bundle, void) == through_spark(bundle, number)
    nobody = through_spark(bundle, given.set_column(0, "patient_id", pa.nulls(given.num_rows)).to_batches())
    assert {row["patient_id"] for row in nobody} == {row["score"] for row in nobody} == {None}
    assert all('"/patient_id"' in str(row["errors"]) for row in nobody)


def test_an_id_that_is_not_utf8_is_returned_unchanged(model_dir: Path) -> None:
    """Spark's strings can be any bytes; such a row is rejected and identified by its id."""
    given = table().slice(1, 2)
    ids = pa.array([b"\xff", b"p-1"], pa.binary()).view(pa.string())
    (batch,) = given.set_column(0, "patient_id", ids).combine_chunks().to_batches()
    (found,) = scored(ModelBundle.of(model_dir, None, None, Details()), [batch])
    assert found["patient_id"].cast(pa.binary()).to_pylist() == [b"\xff", b"p-1"]
    assert found["errors"].is_valid().to_pylist() == [True, False]


@pytest.mark.parametrize("kind", NUMBERS, ids=str)
def test_numbers_of_any_width_are_accepted(kind: spark.DataType) -> None:
    """Their values are validated like any record's."""
    assert problems_of(schema(chol=kind), UCI.table) == []
    assert problems_of(schema(patient_id=spark.NullType()), UCI.table) == []


@pytest.mark.parametrize("kind", NO_NUMBERS, ids=str)
def test_a_column_of_another_type_is_refused(kind: spark.DataType) -> None:
    """Text, nested, decimal and time types, including those without an Arrow type."""
    assert problems_of(schema(chol=kind), UCI.table) == ["chol is not a column of integers or floats"]


@pytest.mark.parametrize("kind", [spark.LongType(), spark.BinaryType(), spark.TimestampType()], ids=str)
def test_an_id_column_of_another_type_is_refused(kind: spark.DataType) -> None:
    """An integer has more than one text form."""
    assert problems_of(schema(patient_id=kind), UCI.table) == ["patient_id is not a column of text"]


def test_all_problems_of_a_table_are_reported_together() -> None:
    """Missing, unknown, repeated and of another type; unknown names are only counted, as they may identify patients."""
    fields = [field for field in schema(age=spark.StringType()) if field.name not in {"ca", "thal"}]
    fields += [spark.StructField(name, spark.DateType()) for name in ("SECRET", "CA")]
    fields.append(spark.StructField("chol", spark.DoubleType()))
    assert problems_of(spark.StructType(fields), UCI.table) == [
        "no column ca, thal",
        "2 column(s) that are not fields of a patient record",
        "more than one column chol",
        "age is not a column of integers or floats",
    ]


def test_a_signed_model_is_verified_on_the_executor(signed: Path, keys: Keys) -> None:
    """The signature and the key are part of the bundle."""
    bundle = ModelBundle.of(signed, None, keys.public.read_bytes(), Details())
    assert len(through_spark(bundle, table().to_batches())) == table().num_rows


@pytest.mark.parametrize("name", [MANIFEST_FILE, SIGNATURE_FILE, "pattern_submodels.json"])
def test_a_bundle_that_was_changed_is_refused(name: str, signed: Path, keys: Keys) -> None:
    """One byte is enough, in the manifest, the signature or a model file."""
    bundle = ModelBundle.of(signed, None, keys.public.read_bytes(), Details())
    files = dict(bundle.files)
    files[name] = files[name][:-1] + bytes([files[name][-1] ^ 1])
    other = msgspec.structs.replace(bundle, files=tuple(files.items()))
    with pytest.raises(ArtifactError, match=r"is not a signature|pattern_submodels\.json: has"):
        through_spark(other, table().to_batches())


def test_the_driver_refuses_a_model_without_a_valid_signature(model_dir: Path, signed: Path, tmp_path: Path) -> None:
    """Before anything is sent to executors."""
    other = Keys(tmp_path, "other").public.read_bytes()
    with pytest.raises(ArtifactError, match="is not a signature of the manifest by the configured key"):
        ModelBundle.of(signed, None, other, Details())
    with pytest.raises(ArtifactError, match="is not signed"):
        ModelBundle.of(model_dir, None, other, Details())


def test_an_executor_refuses_another_model_than_the_verified_one(model_dir: Path, tmp_path: Path) -> None:
    """A directory that is replaced while it is packed is valid, but has another digest."""
    other = another_version(model_dir, tmp_path / "other", "2")
    files = tuple((path.name, path.read_bytes()) for path in other.iterdir() if path.is_file())
    bundle = ModelBundle(load(model_dir).model.digest, files, None, None, Details())
    with pytest.raises(ArtifactError, match="the model changed"):
        bundle.scorer()
