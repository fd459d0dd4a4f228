"""Every command has help, one clear error line with an exit code, and a clean end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from cyclopts import App

from heartstream.cli import app
from heartstream.terminal.exit_codes import BAD_MODEL, BROKEN_PIPE, INTERRUPTED, UNAVAILABLE
from runtime.settings import PREFIX

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "schemas" / "examples" / "patients" / "v1" / "accepted" / "nulls.json"
LABELLED = ROOT / "training" / "snapshot" / "heart_disease.csv"
NO_BROKER = "127.0.0.1:1"


def names(parent: App = app, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the words of every command."""
    for name in parent:
        if not name.startswith("-"):
            yield (*before, name)
            yield from names(parent[name], (*before, name))


COMMANDS = list(names())
READ_A_MODEL = [
    ("explain", EXAMPLE),
    ("score", LABELLED, "-o", "scores.ndjson"),
    ("fhir", "try", EXAMPLE.parent),
    ("drift", LABELLED),
    ("compare", LABELLED, "--challenger", "elsewhere"),
    ("verify",),
    ("replay", "--to-topic", "again"),
    ("worker",),
    ("gateway",),
    ("evaluate", "model", LABELLED),
    ("model", "check", "model"),
    ("model", "evidence", "model"),
    ("model", "sign", "model", "--key", "model.key"),
    ("model", "promote", "model"),
    ("adapt", "model", "-o", "adapted", "--data", LABELLED),
]
ASK_A_BROKER = [
    ("dlq", "list"),
    ("dlq", "show", "0:0"),
    ("dlq", "redrive", "--dry-run"),
    ("verify",),
    ("replay", "--to-topic", "again"),
    ("drift", "--topic", "10"),
    ("compare",),
    ("outcomes",),
    ("adapt", "model", "-o", "adapted", "--outcomes"),
]


def started(folder: Path, arguments: Sequence[object], **settings: str) -> subprocess.Popen[str]:
    """Start heartstream in a folder, or another module if the first argument is -m."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith((PREFIX, "MLFLOW_"))}
    words = [str(each) for each in (arguments if arguments[0] == "-m" else ("-m", "heartstream", *arguments))]
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), **settings},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return the exit code and the output, and check that there is no traceback."""
    _, told = process.communicate(timeout=250)
    assert not re.search("Traceback|Exception ignored", told)
    return process.returncode, told


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_fits_a_terminal_and_has_an_example(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """80 columns, no colour with NO_COLOR; each command that is not a group has an example."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit) as caught:
        app([*words, "--help"])
    told = capsys.readouterr().out
    is_group = any(other[: len(words)] == words and other != words for other in COMMANDS)
    assert (caught.value.code or 0, "\x1b" in told, max(map(len, told.splitlines())) <= 80) == (0, False, True)
    assert ("Example: " in told, "Exit codes: " in told) == (not is_group, not is_group)


@pytest.mark.parametrize("words", READ_A_MODEL, ids=lambda words: " ".join(map(str, words[:2])))
def test_without_a_model_the_train_command_is_suggested(words: Sequence[object], tmp_path: Path) -> None:
    """In one line, with the exit code of a refused model, and without waiting for a broker."""
    code, told = ended(started(tmp_path, words, HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS=NO_BROKER))
    line = told.splitlines()[-1]
    assert (code, line.startswith("heartstream: no model at "), "heartstream train makes one" in line) == (
        BAD_MODEL,
        True,
        True,
    )
    assert list(tmp_path.glob("[!.]*")) in ([], [tmp_path / "models"])


@pytest.mark.parametrize("words", ASK_A_BROKER, ids=" ".join)
def test_a_wait_for_a_broker_is_reported_at_its_start(words: Sequence[object], model_dir: Path, tmp_path: Path) -> None:
    """Seconds before the line that says that it did not answer."""
    words = [model_dir if word == "model" and place else word for place, word in enumerate(words)]
    settings = {"HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": NO_BROKER, "HEARTSTREAM_MODEL__PATH": str(model_dir)}
    process = started(tmp_path, words, **settings)
    assert process.stderr is not None
    assert process.stderr.readline() == f"heartstream: waiting for a broker at {NO_BROKER}\n"
    assert process.poll() is None
    code, told = ended(process)
    assert (code, len(told.splitlines())) == (UNAVAILABLE, 1)
    assert told.startswith(f"heartstream: no broker answers at {NO_BROKER} (Connect to ipv4#{NO_BROKER} failed: ")
    assert told.endswith("or name another in HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS\n")


NOBODY = f"http://{NO_BROKER}"
ABSENT = [
    (("gateway",), "HEARTSTREAM_GATEWAY__PORT", "PORT"),
    (("gateway",), "HEARTSTREAM_GATEWAY__METRICS_PORT", "PORT"),
    (("worker",), "HEARTSTREAM_SCHEMA_REGISTRY__URL", NOBODY),
    (("train", "--quick"), "MLFLOW_TRACKING_URI", NOBODY),
    (("model", "promote", "models:/risk@champion"), "MLFLOW_TRACKING_URI", NOBODY),
    (
        ("model", "import", "models:/risk/1", "-o", "new", "--data", LABELLED, "--trusted-source", "us"),
        "MLFLOW_TRACKING_URI",
        NOBODY,
    ),
    (("demo", "--broker", "docker"), "DOCKER_HOST", "unix:///none/docker.sock"),
]
"""Commands, a setting, and a value at which nothing answers; PORT is one that is taken."""


@pytest.mark.parametrize(("words", "setting", "text"), ABSENT, ids=str)
def test_what_does_not_answer_is_named(
    words: Sequence[object], setting: str, text: str, model_dir: Path, tmp_path: Path
) -> None:
    """The last line has the setting, or the command that shows more; training does not begin."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = {
            "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": NO_BROKER,
            "HEARTSTREAM_MODEL__PATH": str(model_dir),
            "HEARTSTREAM_SCHEMA_REGISTRY__ENCODE_SCORES": str("registry" in setting.lower()).lower(),
            setting: text.replace("PORT", str(taken.getsockname()[1])),
        }
        code, told = ended(started(tmp_path, words, **settings))
    line = told.splitlines()[-1]
    mended_by = "docker pull" if setting == "DOCKER_HOST" else setting
    assert (code, line.startswith("heartstream: "), mended_by in line) == (UNAVAILABLE, True, True)
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "models"])


@pytest.mark.parametrize("words", [("topics",), ("dlq", "list"), ("verify",)], ids=" ".join)
def test_ctrl_c_ends_a_wait_for_a_broker(words: Sequence[object], model_dir: Path, tmp_path: Path) -> None:
    """At once, with its exit code and one line."""
    settings = {"HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": NO_BROKER, "HEARTSTREAM_MODEL__PATH": str(model_dir)}
    process = started(tmp_path, words, **settings)
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    code, told = ended(process)
    assert (code, told.split()) == (INTERRUPTED, ["heartstream:", "interrupted"])


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        (("train", "--quick"), "train: cross-validating random_forest"),
        (("-m", "bench.score"), "training the models"),
        (("-m", "bench.stream", "--quick", "--broker", "given"), ""),
    ],
    ids=["train", "bench.score", "bench.stream"],
)
def test_ctrl_c_ends_long_work(words: Sequence[object], moment: str, tmp_path: Path) -> None:
    """Exit code 130 and one line; no partial result and no temporary folder is left."""
    (tmp_path / "tmp").mkdir()
    settings = {"HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": NO_BROKER, "TMPDIR": str(tmp_path / "tmp")}
    process = started(tmp_path, words, **settings)
    assert process.stderr is not None
    next(line for line in process.stderr if moment in line)
    process.send_signal(signal.SIGINT)
    code, told = ended(process)
    assert (code, told.splitlines()[-1]) == (INTERRUPTED, "heartstream: interrupted")
    assert [path.name for path in tmp_path.rglob("*")] == ["tmp"]


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("explain", EXAMPLE),
        ("drift", LABELLED, "--json"),
        ("data", "patients"),
        ("worker", "--show-config"),
        ("api-key", "somebody"),
        ("evaluate", "{model}", LABELLED),
        ("model", "check", "{model}"),
    ],
    ids=lambda words: words[0],
)
def test_a_closed_pipe_is_not_an_error(words: Sequence[object], model_dir: Path, tmp_path: Path) -> None:
    """When nothing reads the output any more, as after `| head -1`, the command ends without a message."""
    chosen = [model_dir if word == "{model}" else word for word in words]
    if "drift" in words:
        chosen = ["drift", tmp_path / "patients.csv", "--json"]
        with (tmp_path / "patients.csv").open("w") as file:
            subprocess.run([sys.executable, "-m", "heartstream", "data", "patients"], stdout=file, check=True)
    process = started(tmp_path, chosen, HEARTSTREAM_MODEL__PATH=str(model_dir))
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    code, told = ended(process)
    assert (code, "Broken pipe" in told) == (BROKEN_PIPE, False)


def test_a_full_disk_behind_standard_output_is_an_error(model_dir: Path) -> None:
    """One line, and the exit code of an unavailable output."""
    words = [sys.executable, "-m", "heartstream", "explain", str(EXAMPLE), "--model", str(model_dir)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(words, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (UNAVAILABLE, "heartstream: No space left on device\n")


def test_an_ascii_terminal_gets_escapes() -> None:
    """Characters that its encoding lacks raise no UnicodeEncodeError."""
    words = [sys.executable, "-m", "heartstream", "drift", "--help"]
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr, "Compare records" in done.stdout) == (0, "", True)
