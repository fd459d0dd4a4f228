"""Documents of evidence with given values, and a model directory of a draft table."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from schemas.tables.patients import Population
from scoring.compiled_table import CompiledTable
from tests.support.other_tables import invented_rows, table
from training.pipeline import OwnPatients, TrainingRequest, train
from training.report.evidence.documents import BEST, Documents

SERVED = "pattern_submodels"
NAMED = {"manifest.best": SERVED, "report.selection.best": SERVED}


def documents(values: dict[str, Any]) -> Documents:
    """Return documents with these values at their paths, of a model that `heartstream train` made."""
    contents: dict[str, Any] = {}
    for path, value in {**NAMED, **values}.items():
        *parents, last = path.replace(BEST, SERVED).split(".")
        inner = contents
        for part in parents:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return Documents("0" * 16, contents)


def train_draft(folder: Path) -> Path:
    """Train on invented patients of a table that does not say who they are; return the model directory."""
    draft = msgspec.structs.replace(table("text_codes"), population=Population())
    compiled = CompiledTable(draft)
    rows = invented_rows(compiled)
    high = (rows[:, 0] - rows[:, 0].mean()) / rows[:, 0].std() + np.random.default_rng(4).normal(size=len(rows)) > 0
    path = folder / "invented.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*draft.names, draft.outcome.column])
        for row, positive in zip(rows.tolist(), high.tolist(), strict=True):
            writer.writerow([*draft.fields_of(row).values(), "yes" if positive else "no"])
    own = OwnPatients(path, draft)
    return train(TrainingRequest(folder / "model", model_version="test", quick=True, patients=own)).folder
