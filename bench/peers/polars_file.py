"""Polars: a lazy query with the model's formula as an expression, streamed from file to file: FORMULA SOURCE OUTPUT."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from bench.file_job import report
from bench.formula import Formula


def risk(formula: Formula) -> Any:
    """Return the risk, to six decimals."""
    total = pl.lit(formula.intercept)
    for number in formula.numbers:
        value = pl.col(number.name)
        there = value.is_not_null()
        for code in number.missing:
            there = there & (value != code)
        total = total + pl.when(there).then(value * number.slope + number.constant).otherwise(0.0)
    for field in formula.codes:
        value, added = pl.col(field.name), pl.lit(0.0)
        for code, weight in field.codes.items():
            added = pl.when(value == code).then(weight).otherwise(added)
        total = total + added
    return (1 / (1 + (-total).exp())).round(6).alias("risk")


def job(formula: Formula, source: Path, output: Path) -> None:
    """Read, compute, write."""
    names = [field.name for field in (*formula.numbers, *formula.codes)]
    if source.suffix == ".parquet":
        frame = pl.scan_parquet(source)
    else:
        frame = pl.scan_csv(source, schema_overrides=dict.fromkeys(names, pl.Float64))
    frame.select("patient_id", risk(formula)).sink_ndjson(output)


if __name__ == "__main__":
    path, source, output = map(Path, sys.argv[1:])
    report(partial(job, msgspec.json.decode(path.read_bytes(), type=Formula)), source, output)
