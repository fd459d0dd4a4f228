"""pandas and scikit-learn: the fitted pipeline's predict_proba on a data frame: PIPELINE FORMULA SOURCE OUTPUT."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import msgspec
import pandas as pd

from bench.file_job import report
from bench.formula import Field, Formula
from schemas.tables.builtin import UCI_HEART


def job(pipeline: Any, formula: Formula, source: Path, output: Path) -> None:
    """Read, compute, write."""
    frame = pd.read_parquet(source) if source.suffix == ".parquet" else pd.read_csv(source)
    patients = frame[list(UCI_HEART.names)].astype(float)
    fields: tuple[Field, ...] = (*formula.numbers, *formula.codes)
    for field in fields:
        patients[field.name] = patients[field.name].mask(patients[field.name].isin(field.missing))
    risks = pipeline.predict_proba(patients.to_numpy())[:, 1].round(6)
    scores = pd.DataFrame({"patient_id": frame["patient_id"], "risk": risks})
    scores.to_json(output, orient="records", lines=True)


if __name__ == "__main__":
    pickle, path, source, output = map(Path, sys.argv[1:])
    formula = msgspec.json.decode(path.read_bytes(), type=Formula)
    report(partial(job, joblib.load(pickle), formula), source, output)
