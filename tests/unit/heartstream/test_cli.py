"""The command line where only the serving dependencies are installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_WITHOUT_TRAINING = "import sys; sys.modules['training'] = None; from heartstream.cli import main; main()"


def test_a_serving_image_knows_its_commands_without_training() -> None:
    """Help and unknown commands do not import `training`, which serving images do not contain."""
    for words, code in ((["nonsense"], 2), (["--help"], 0), (["data", "--help"], 0)):
        done = subprocess.run(
            [sys.executable, "-c", _WITHOUT_TRAINING, *words], capture_output=True, text=True, check=False
        )
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)


def test_commands_that_need_training_say_what_to_install() -> None:
    """In one line, with the exit code of invalid settings."""
    words = ["data", "fetch", "--offline"]
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TRAINING, *words], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (78, False)
    assert "pip install 'heartstream[train]'" in done.stderr


def test_sample_patients_are_valid_rows(model_dir: Path, tmp_path: Path) -> None:
    """Every row that `data patients` prints is scored."""
    rows, scores = tmp_path / "patients.csv", tmp_path / "scores.ndjson"
    with rows.open("w") as file:
        subprocess.run([sys.executable, "-m", "heartstream", "data", "patients"], stdout=file, check=True)
    words = ["score", str(rows), "-o", str(scores), "--model", str(model_dir)]
    subprocess.run([sys.executable, "-m", "heartstream", *words], check=True)
    assert len(scores.read_text("utf-8").splitlines()) == 920


def test_fault_codes_are_accepted_as_printed() -> None:
    """With underscores, as in dead letters and the help, or with dashes."""
    words = [sys.executable, "-m", "heartstream", "dlq", "list"]
    told = subprocess.run([*words, "--help"], capture_output=True, text=True, check=True).stdout
    assert ("foreign_code" in told, "foreign-code" in told) == (True, False)
    settings = {**os.environ, "HEARTSTREAM_TOPICS__PATIENTS": ""}
    codes = [
        subprocess.run([*words, "--code", code], env=settings, capture_output=True, check=False).returncode
        for code in ("foreign_code", "foreign-code", "foreigncode")
    ]
    assert codes == [78, 78, 2]
