"""A Spark job, which `test_spark.py` runs as `python -m tests.integration.heartstream.spark_job`."""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from pathlib import Path

import msgspec
from pyspark.errors import PythonException
from pyspark.sql import DataFrame, SparkSession

from heartstream.spark import SCHEMA, ModelBundle, score, scored
from schemas.errors import HeartstreamError
from schemas.records import Details
from tests.support.uci import COLUMN_NAMES, FEATURE_NAMES

_LOCAL = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.shuffle.partitions": "2",
}


def main(patients: str, model: str, public_key: str, registered: str, store: str, output: str) -> None:
    """Score a Parquet file by `heartstream.spark`, and valid rows by MLflow's `spark_udf`; write both."""
    key = Path(public_key).read_bytes()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[2]")
    for name, value in _LOCAL.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    try:
        frame = spark.read.parquet(patients).repartition(4)
        score(frame, Path(model), public_key=key).write.parquet(f"{output}/scored")
        refusals = []
        for bad, where in ((frame.drop("thal"), model), (frame.withColumnRenamed("ca", "CA"), model), (frame, store)):
            try:
                score(bad, Path(where))
            except HeartstreamError as error:
                refusals.append(f"{type(error).__name__}: {error}")
        refusals.append(by_a_worker(frame, ModelBundle.of(Path(model), None, key, Details())))
        (Path(output) / "refusals.json").write_text(json.dumps(refusals))
        by_mlflow(spark, registered, store, output, patients)
    finally:
        spark.stop()


def by_a_worker(frame: DataFrame, bundle: ModelBundle) -> str:
    """Send the verified bundle with one byte of a model changed; return Spark's error."""
    files = dict(bundle.files)
    name = "pattern_submodels.json"
    files[name] = files[name][:-1] + b"?"
    changed = msgspec.structs.replace(bundle, files=tuple(files.items()))
    try:
        frame.select(*COLUMN_NAMES).mapInArrow(partial(scored, changed), SCHEMA).collect()
    except PythonException as error:
        return str(error)
    return "nothing"


def by_mlflow(spark: SparkSession, registered: str, store: str, output: str, patients: str) -> None:
    """Score valid rows with the registered model."""
    import mlflow  # noqa: PLC0415  # slow import

    mlflow.set_tracking_uri(store)
    risks = mlflow.pyfunc.spark_udf(
        spark, registered, result_type="risk double, low double, high double", env_manager="local"
    )
    good = spark.read.parquet(patients).where("patient_id LIKE 'good-%'")
    found = good.withColumn("found", risks(*(good[name] for name in FEATURE_NAMES)))
    found.select("patient_id", "found.risk").write.parquet(f"{output}/mlflow")


if __name__ == "__main__":
    main(*sys.argv[1:])
