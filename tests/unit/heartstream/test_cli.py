"""The command where only serving is installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_WITHOUT_TRAINING = "import sys; sys.modules['training'] = None; from heartstream.cli import main; main()"


def test_a_serving_image_knows_its_commands_without_training() -> None:
    """An unknown command and a list of commands need nothing of `training`, which serving images do not hold."""
    for words, code in ((["nonsense"], 2), (["--help"], 0), (["data", "--help"], 0)):
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT_TRAINING, *words], capture_output=True, text=True, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_what_needs_training_says_what_to_install() -> None:
    """One line, and the code of bad settings."""
    words = ["data", "fetch", "--offline"]
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TRAINING, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (78, False)
    assert "pip install 'heartstream[train]'" in done.stderr


def test_patients_to_try_are_legal_rows(model_dir: Path, tmp_path: Path) -> None:
    """What `data patients` prints, the file interface scores to the last row."""
    rows, scores = tmp_path / "patients.csv", tmp_path / "scores.ndjson"
    with rows.open("w") as file:
        subprocess.run([sys.executable, "-m", "heartstream", "data", "patients"], stdout=file, check=True)
    words = ["score", str(rows), "-o", str(scores), "--model", str(model_dir)]
    subprocess.run([sys.executable, "-m", "heartstream", *words], check=True)
    assert len(scores.read_text("utf-8").splitlines()) == 920


def test_codes_are_taken_as_they_are_told() -> None:
    """A code can be pasted from a dead letter; help names it so, and dashes do as well."""
    words = [sys.executable, "-m", "heartstream", "dlq", "list"]
    told = subprocess.run([*words, "--help"], capture_output=True, text=True, check=True).stdout
    assert ("foreign_code" in told, "foreign-code" in told) == (True, False)
    settings = {**os.environ, "HEARTSTREAM_TOPICS__PATIENTS": ""}
    codes = [
        subprocess.run([*words, "--code", code], env=settings, capture_output=True, check=False).returncode
        for code in ("foreign_code", "foreign-code", "foreigncode")
    ]
    assert codes == [78, 78, 2]
