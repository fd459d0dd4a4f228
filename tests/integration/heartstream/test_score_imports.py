"""`heartstream score` imports no optional dependency that it does not need."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.support.examples import accepted
from tests.support.file_tables import reference_table

WITHOUT_PANDAS = """
import sys

from heartstream.cli import app

try:
    app(sys.argv[1:])
finally:
    print("pandas" in sys.modules)
"""


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_need_no_pandas(kind: str, model_dir: Path, tmp_path: Path) -> None:
    """Arrow would import it if it is installed: half a second, and 50 MB per process."""
    source = tmp_path / f"in.{kind}"
    (pyarrow.csv.write_csv if kind == "csv" else pq.write_table)(reference_table(1000), source)
    arguments = ["score", str(source), "-o", str(tmp_path / "out.ndjson"), "--model", str(model_dir)]
    done = subprocess.run([sys.executable, "-c", WITHOUT_PANDAS, *arguments], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (65, b"False\n")


WITHOUT_PYARROW = """
import sys

sys.modules["pyarrow"] = None
from heartstream.cli import app

app(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("name", "code"), [("in.csv", 78), ("in.parquet", 78), ("in.ndjson.zst", 78), ("in.jsonl.gz", 0)]
)
def test_without_pyarrow_only_ndjson_is_scored(name: str, code: int, model_dir: Path, tmp_path: Path) -> None:
    """Other formats say which extra to install."""
    source = tmp_path / name
    source.write_bytes(gzip.compress(dict(accepted())["complete"].replace(b"\n", b" ")))
    arguments = ["score", str(source), "-o", str(tmp_path / "out.ndjson"), "--model", str(model_dir)]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYARROW, *arguments], capture_output=True, check=False, timeout=100
    )
    assert code == done.returncode
    assert (b"pip install -e '.[files]'" in done.stderr) == (code == 78)
