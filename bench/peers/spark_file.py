"""Spark on this machine: the model's formula in SQL, one task for each processor: FORMULA SOURCE OUTPUT."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import msgspec
from pyspark.sql import SparkSession

from bench.file_job import report
from bench.formula import Formula


def job(spark: SparkSession, formula: Formula, source: Path, output: Path) -> None:
    """Read, compute, write."""
    if source.suffix == ".parquet":
        frame = spark.read.parquet(str(source))
    else:
        frame = spark.read.csv(str(source), header=True, inferSchema=True)
    frame.selectExpr("patient_id", f"{formula.sql()} AS risk").write.json(str(output))


if __name__ == "__main__":
    path, source, output = map(Path, sys.argv[1:])
    session = SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    report(partial(job, session, msgspec.json.decode(path.read_bytes(), type=Formula)), source, output)
    session.stop()
