"""A table as Spark passes it: the real patients of all four hospitals, with bad rows among them."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from heartstream.demo.patients import real_patients
from tests.support.uci import FEATURE_NAMES

NAN: Final = float("nan")
BAD: Final = [
    (None, {}),
    ("", {}),
    ("x" * 1000, {}),
    ("bad-code", {"cp": 7.0}),
    ("bad-nan", {"chol": NAN}),
    ("bad-age", {"age": None}),
    ("bad-infinity", {"thalach": float("inf")}),
    ("half", {"sex": 0.5}),
]


def table() -> pa.Table:
    """Return all 920 patients, with ids that begin with `good-`, and a row of `BAD` after every hundred of them."""
    rows = [(f"good-{number}", record) for number, record in enumerate(real_patients())]
    for place, (patient_id, changes) in enumerate(BAD):
        rows.insert(100 * place, (patient_id, {**real_patients()[0], **changes}))
    columns = {"patient_id": pa.array([patient_id for patient_id, _ in rows], pa.string())}
    for name in FEATURE_NAMES:
        numbers = [None if record[name] is None else float(record[name]) for _, record in rows]
        columns[name] = pa.array(numbers, pa.float32() if name == "fbs" else pa.float64())
    return pa.table(columns)
