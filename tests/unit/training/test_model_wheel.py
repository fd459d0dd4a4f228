"""A model in MLflow carries its code as a wheel that does not need heartstream and shadows no other module."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from scoring.scorer import Scorer
from tests.support.models import every_missing_pattern
from training.tracking.model_wheel import write_code

PROJECT = """
import json, sys
import schemas, scoring
import pandas as pd
sys.path.insert(0, sys.argv[1])
import heartstream_model_loader
model = heartstream_model_loader._load_pyfunc(sys.argv[2], {"name": sys.argv[3]})
names = "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal".split()
frame = pd.DataFrame(json.load(sys.stdin), columns=names, dtype="float64")
print(json.dumps([risk.hex() for risk in model.predict(frame)["risk"]]))
assert (schemas.OURS, scoring.OURS) == (False, False)
assert not any(name.startswith(("schemas.", "scoring.", "heartstream.")) for name in sys.modules)
"""
"""A program of somebody whose project has modules `schemas` and `scoring`, too."""


@pytest.mark.parametrize("name", ["logistic_regression", "pattern_submodels", "random_forest"])
def test_a_model_is_loaded_from_its_wheel_alone(name: str, model_dir: Path, tmp_path: Path) -> None:
    """In a project with modules of the same names every risk is exact, and those modules stay the project's."""
    (code := tmp_path / "code").mkdir()
    write_code(code, ["numpy"])
    for module in ("schemas.py", "scoring.py"):
        (tmp_path / module).write_text("OURS = False", "utf-8")
    matrix = every_missing_pattern()[:200]
    rows = [[None if number != number else number for number in row] for row in matrix.tolist()]  # noqa: PLR0124  # NaN
    done = subprocess.run(
        [sys.executable, "-c", PROJECT, str(code), str(model_dir), name],
        input=json.dumps(rows),
        env={"PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    risks = Scorer.from_directory(model_dir, name).risks(matrix).tolist()
    assert json.loads(done.stdout) == [risk.hex() for risk in risks]


def test_pip_installs_the_wheel(tmp_path: Path) -> None:
    """Every file is in its RECORD, and the same code gives the same bytes."""
    wheel, _ = write_code(tmp_path, ["numpy>=2"])
    first = wheel.read_bytes()
    write_code(tmp_path, ["numpy>=2"])
    assert wheel.read_bytes() == first
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", tmp_path / "site", wheel], check=True)
    assert (tmp_path / "site" / "heartstream_model" / "scoring" / "pyfunc.py").is_file()
    (metadata,) = (tmp_path / "site").glob("heartstream_model-*.dist-info/METADATA")
    assert "Requires-Dist: numpy>=2\n" in metadata.read_text("utf-8")
    with ZipFile(wheel) as archive:
        (record,) = (name for name in archive.namelist() if name.endswith("/RECORD"))
        recorded = [line.split(",")[0] for line in archive.read(record).decode().splitlines()]
        assert recorded == archive.namelist()
