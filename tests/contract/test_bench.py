"""The benchmarks can be started as scripts or modules, and describe themselves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_no_benchmark_shadows_the_standard_library() -> None:
    """With `python bench/x.py` the folder comes first in the import path."""
    assert {path.stem for path in (ROOT / "bench").glob("*.py")} & sys.stdlib_module_names == set()


@pytest.mark.parametrize(
    "words",
    [("-m", "bench.bare"), ("-m", "bench.bare_exactly_once"), ("bench/stream.py",)],
    ids=lambda words: words[-1],
)
def test_help_has_an_example(words: tuple[str, ...]) -> None:
    """It needs no model and no broker, and has no traceback."""
    done = subprocess.run(
        [sys.executable, *words, "--help"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ("usage: python -m bench." in done.stdout, "example: " in done.stdout, done.stderr) == (True, True, "")


def test_a_missing_model_is_reported_in_one_line(tmp_path: Path) -> None:
    """The bare benchmark says what is missing, as the worker does."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HEARTSTREAM_MODEL__PATH": str(tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, "-m", "bench.bare"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("bench.bare: ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--table", "tests/tables/wdbc.toml"), "--table and --data need each other"),
        (
            ("--table", "tests/tables/wdbc.toml", "--data", "wdbc.csv", "--only", "mlserver"),
            "no such contender for another table: mlserver",
        ),
    ],
    ids=["without data", "mlserver"],
)
def test_what_cannot_be_measured_with_another_table_is_refused(arguments: tuple[str, ...], reason: str) -> None:
    """Before anything starts."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.stream", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, reason in done.stderr) == (2, True), done.stderr
