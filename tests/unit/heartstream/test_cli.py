"""The command where only serving is installed."""

from __future__ import annotations

import subprocess
import sys

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
