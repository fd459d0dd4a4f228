"""The same rows as JSON records, as CSV and as Parquet, and their results through the file interface."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from heartstream.files.score import Request, score_file
from heartstream.files.tally import Tally
from schemas.errors import DataError
from scoring.batches import JsonBatch
from scoring.evidence import SourceWindow
from scoring.reference_cases import reference_cases
from scoring.scorer import Scorer
from scoring.sources import reject_foreign_source
from tests.support.outcomes import Rejected, outcomes_of
from tests.support.uci import FEATURE_NAMES, UCI

NAMES = ("patient_id", *FEATURE_NAMES)
COMPLETE = {"patient_id": "p", "age": 63, "sex": 1, "cp": 4, "trestbps": 120, "chol": 120, "fbs": 1, "restecg": 2}
COMPLETE |= {"thalach": 120, "exang": 0, "oldpeak": 2, "slope": 3, "ca": None, "thal": 6}
Row = Mapping[str, str | float | None]
UNMEASURED = {"na", "n/a", "#n/a", "nan", "?", "none", "null", "."}
_TRUE_FALSE = {"true": "1", "false": "0", "t": "1", "f": "0", "yes": "1", "no": "0", "y": "1", "n": "0"}
WORDS = {"sex": {"f": "0", "m": "1"}, "fbs": _TRUE_FALSE, "exang": _TRUE_FALSE}
"""The words for codes that tests of arbitrary cells use."""


def as_records(rows: Sequence[Row]) -> list[bytes]:
    return [json.dumps(dict(row), ensure_ascii=False).encode() for row in rows]


def cell_record(cells: Mapping[str, str]) -> bytes:
    """Return the record that cells of CSV mean, by the rules of docs/files.md and Python's own JSON parser."""
    members = (f'"{name}":{_cell(name, cell)}' for name, cell in cells.items())
    return f"{{{','.join(members)}}}".encode()


def _cell(name: str, cell: str) -> str:
    if not cell:
        return "null"
    if name == "patient_id":
        return json.dumps(cell)
    bare = cell.encode().strip().decode()  # only ASCII white space
    if not bare or bare.casefold() in UNMEASURED:
        return "null"
    if (code := WORDS.get(name, {}).get(re.sub(r"[\W_]+", "", bare.casefold()))) is not None:
        return code
    if re.fullmatch(r"-?([1-9]\d*|0)?\.\d*", bare, re.ASCII):
        whole, _, part = bare.partition(".")
        bare = f"{whole + '0' if whole in {'', '-'} else whole}.{part or '0'}"
    try:
        number = json.loads(bare)
    except ValueError:
        return json.dumps(cell)
    return bare if isinstance(number, int | float) and not isinstance(number, bool) else json.dumps(cell)


def write_csv(path: Path, rows: Sequence[Row], names: Sequence[str] = NAMES) -> Path:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([[_text(row[name]) for name in names] for row in rows])
    path.write_bytes(text.getvalue().encode())
    return path


def _text(value: str | float | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def write_parquet(path: Path, rows: Sequence[Row], names: Sequence[str] = NAMES) -> Path:
    kinds = {name: pa.string() if name == "patient_id" else pa.float64() for name in names}
    pq.write_table(pa.table({name: pa.array([row[name] for row in rows], kinds[name]) for name in names}), path)
    return path


REFUSED: tuple[bytes, list[object]] = (b"refused", [])
"""Replaces the result of a file whose records show another coding."""


def through_stream(values: Sequence[bytes], scorer: Scorer) -> tuple[bytes, list[object]]:
    """Return score lines and rejected rows as the core returns them for records of the topic, or `REFUSED`."""
    scores, errors, window = b"", [], SourceWindow()
    results = scorer.score(JsonBatch(values).decode(scorer.compiled))
    outcomes = outcomes_of(reject_foreign_source(results, window, scorer.compiled.table))
    if window.is_foreign:
        return REFUSED
    for row, outcome in enumerate(outcomes, 1):
        if isinstance(outcome, Rejected):
            issues = [{"code": str(f.code), "pointer": f.pointer, "message": f.message} for f in outcome.issues]
            errors.append({"row": row, "errors": issues})
        else:
            scores += outcome.value + b"\n"
    return scores, errors


def unseen(_done: int, _total: int | None, _tally: Tally) -> None:
    pass


def through_file(source: Path, scorer: Scorer) -> tuple[bytes, list[object]]:
    """Return the output of the file interface, in the form of `through_stream`."""
    output, errors = source.with_name("out.ndjson"), source.with_name("errors.ndjson")
    try:
        score_file(Request(source, output, errors, force=True), scorer, unseen)
    except DataError as error:
        if "in another coding" not in str(error):
            raise
        return REFUSED
    lines = errors.read_bytes().splitlines() if errors.exists() else []
    return output.read_bytes(), [json.loads(line) for line in lines]


def reference_table(rows: int) -> pa.Table:
    """Return the reference cases as patients, some of each thousand with Kaggle's codes."""
    matrix = np.resize(reference_cases(UCI.table), (rows, len(FEATURE_NAMES)))
    matrix[::250, FEATURE_NAMES.index("thal")] = 1
    columns = {name: pa.array(matrix[:, place], from_pandas=True) for place, name in enumerate(FEATURE_NAMES)}
    return pa.table({"patient_id": pa.array(np.char.add("p-", np.arange(rows).astype(str)))} | columns)
