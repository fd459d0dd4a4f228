"""DuckDB: one COPY statement with the model's formula in SQL: FORMULA SOURCE OUTPUT."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import duckdb
import msgspec

from bench.file_job import report
from bench.formula import Formula


def job(formula: Formula, source: Path, output: Path) -> None:
    """Read, compute, write."""
    read = "read_parquet" if source.suffix == ".parquet" else "read_csv"
    query = f"SELECT patient_id, {formula.sql()} AS risk FROM {read}('{source}')"  # noqa: S608  # our own
    duckdb.sql(f"COPY ({query}) TO '{output}' (FORMAT json)")


if __name__ == "__main__":
    path, source, output = map(Path, sys.argv[1:])
    report(partial(job, msgspec.json.decode(path.read_bytes(), type=Formula)), source, output)
