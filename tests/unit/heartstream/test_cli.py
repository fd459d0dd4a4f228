"""The command line where only the serving dependencies are installed."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

from heartstream.cli import app
from heartstream.cli.generate import commands

_WITHOUT_TRAINING = "import sys; sys.modules['training'] = None; from heartstream.cli import main; main()"

_INTERRUPTED_AT_START = """
import runpy, sys

class Interrupted:
    def find_spec(self, name, *_):
        if name == "cyclopts":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted())
runpy.run_module("heartstream", run_name="__main__")
"""


def test_ctrl_c_while_modules_are_imported_is_one_line() -> None:
    """As at any later time; importing takes a third of a second, or seconds on a busy machine."""
    words = [sys.executable, "-c", _INTERRUPTED_AT_START]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "\nheartstream: interrupted\n")


def test_nothing_is_imported_before_ctrl_c_is_handled() -> None:
    """What Python does at its own start is all that can be interrupted with a stack trace."""
    program = "import sys; before = set(sys.modules); import heartstream.__main__; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    foreign = {name for name in done.stdout.split() if name.partition(".")[0] not in sys.stdlib_module_names}
    assert foreign == {"heartstream", "heartstream.__main__"}


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
    assert "pip install -e '.[train]'" in done.stderr


def test_git_ignores_what_commands_write_by_default() -> None:
    """Models, reports, MLflow's store; and private keys, which the examples do not put into a checkout."""
    written = ["any.key", "keys.txt", "dist/any.whl"]
    for command in commands():
        found = app
        for word in command.name.split():
            found = found[word]
        parameters = inspect.signature(found.default_command or found).parameters.values()
        written += [f"{each.default}/any" for each in parameters if isinstance(each.default, Path)]
        assert [each for each in command.examples if "--key " in each.replace("--key ~/", "")] == []
    paths = sorted(set(written) - {"-/any"})
    assert len(paths) > 8, paths
    words = ("git", "check-ignore", *paths)
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == paths


def test_data_patients_without_pandas_says_what_to_install() -> None:
    """As where the package is installed without its extras."""
    program = "import sys; sys.modules['pandas'] = None; from heartstream.cli import main; main()"
    words = [sys.executable, "-c", program, "data", "patients"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, "pip install -e '.[train]'" in done.stderr) == (78, True)


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
