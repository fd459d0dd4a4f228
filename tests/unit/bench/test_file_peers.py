"""The contenders of the file benchmark compute the model's own risks, and a failure is named."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from bench.file_peers import YARDSTICK, Comparison, Contender, formula_of
from heartstream.files.formats import Format
from scoring.scorer import Scorer
from tests.support.models import every_missing_pattern
from tests.support.uci import FEATURE_NAMES
from training.data.frames import features, read_snapshot

_SCRIPT = """
import sys
open(sys.argv[2], "w").write('{"patient_id":"b","risk":%s}\\n{"patient_id":"a","risk":0.25}\\n')
print('{"seconds":%s,"processor":0.5}')
"""


def contender(name: str, risk: float = 0.5, seconds: float = 1.0) -> Contender:
    return Contender(name, ("-c", _SCRIPT % (risk, seconds)))


def test_the_formula_gives_the_models_risks_in_sql(model_dir: Path) -> None:
    """For all patients, as sent and with every set of fields missing."""
    rows = np.concatenate([features(read_snapshot()), every_missing_pattern()])
    sent = [[None if math.isnan(value) else value for value in row] for row in rows.tolist()]
    place = FEATURE_NAMES.index("ca")
    sent += [[*row[:place], -9 if row[place] is None else row[place], *row[place + 1 :]] for row in sent]
    with sqlite3.connect(":memory:") as database:
        database.create_function("EXP", 1, math.exp, deterministic=True)
        database.execute(f"CREATE TABLE patients ({', '.join(FEATURE_NAMES)})")
        database.executemany(f"INSERT INTO patients VALUES ({', '.join('?' * len(FEATURE_NAMES))})", sent)  # noqa: S608  # our own
        query = f"SELECT {formula_of(model_dir).sql()} FROM patients"  # noqa: S608  # our own
        found = [risk for (risk,) in database.execute(query)]
    database.close()
    expected = Scorer.from_directory(model_dir, "logistic_regression").risks(np.concatenate([rows, rows]))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1.000001e-6)


def test_rates_are_compared_round_by_round(tmp_path: Path) -> None:
    """A contender that fails is named with its last line, and the others continue."""
    found = Comparison()
    broken = Contender("broken", ("-c", "raise SystemExit('it needs a library')"))
    entered = [contender(YARDSTICK), contender("twice", seconds=0.5), broken]
    found.add(tmp_path / "in.csv", Format.CSV, 2, entered)
    assert [(each.name, each.ratio.median, each.rows_per_s.median) for each in found.figures] == [
        (YARDSTICK, 1.0, 2.0),
        ("twice", 2.0, 4.0),
    ]
    assert found.failed == {"broken": "it needs a library"}
    assert "broken failed: it needs a library" in list(found.lines())
    assert list(tmp_path.iterdir()) == []


def test_other_risks_end_the_comparison(tmp_path: Path) -> None:
    """The rate of a wrong result means nothing."""
    entered = [contender(YARDSTICK), contender("close", 0.5000009), contender("wrong", 0.50001)]
    with pytest.raises(SystemExit, match="wrong gives other risks"):
        Comparison().add(tmp_path / "in.csv", Format.CSV, 1, entered)
