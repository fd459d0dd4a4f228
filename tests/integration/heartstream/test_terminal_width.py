"""What commands print fits a terminal of 80 columns, without broken words."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from rich.cells import cell_len

from heartstream.demo.patients import real_patients
from heartstream.operations.dlq.dead_letters import DeadLetterRecord
from heartstream.operations.dlq.render import Table, letter_lines
from heartstream.operations.models.store import Store
from schemas.errors import RecordError, RejectionCode, ValidationIssue
from schemas.records import DeadLetter, Source

ROOT: Final = Path(__file__).parents[3]
LABELLED: Final = ROOT / "training" / "snapshot" / "heart_disease.csv"
TABLE: Final = ROOT / "schemas" / "tables" / "uci_heart.toml"
BUNDLES: Final = ROOT / "schemas" / "examples" / "fhir" / "v1" / "hospitals"
RECORD: Final = {"patient_id": "p-1", "age": 28, "sex": 1, "cp": 2, "trestbps": 130, "chol": 132, "fbs": 0}
FINDINGS: Final = {"restecg": 2, "thalach": 185, "exang": 0, "oldpeak": 0, "slope": None, "ca": None, "thal": None}
NARROW, WIDE = 80, 400
COMMANDS: Final = {
    "explain": ["explain", "record.json"],
    "explain a forest": ["explain", "record.json", "--name", "random_forest"],
    "drift": ["drift", "patients.csv"],
    "compare": ["compare", "patients.csv", "--challenger", "model"],
    "evaluate": ["evaluate", "model", str(LABELLED)],
    "model check": ["model", "check", "model"],
    "model list": ["model", "list", "--store", "store"],
    "table check": ["table", "check", str(TABLE)],
    "fhir try": ["fhir", "try", str(BUNDLES)],
}
ALL: Final = """
import json, sys
from heartstream.cli import app
for name, words in json.loads(sys.argv[1]).items():
    print(f"@ {name}", flush=True)
    try:
        app(words)
    except SystemExit:
        pass
"""
"""Runs commands one after the other in one process, so that modules are imported once."""


@pytest.fixture(scope="module")
def printed(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, str], str]:
    """Return what a command prints on a terminal with so many columns."""
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "model").symlink_to(model_dir)
    (folder / "record.json").write_text(json.dumps({**RECORD, **FINDINGS}))
    patients = real_patients()
    with (folder / "patients.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(patients[0]))
        writer.writeheader()
        writer.writerows(patients)
    Store(folder / "store").promote(model_dir, str(model_dir), None)
    with ThreadPoolExecutor() as pool:
        outputs = dict(
            zip((NARROW, WIDE), pool.map(lambda columns: _run(folder, columns), (NARROW, WIDE)), strict=True)
        )
    parts = {columns: dict(_by_command(output)) for columns, output in outputs.items()}
    return lambda columns, name: parts[columns][name]


def _run(folder: Path, columns: int) -> str:
    """Return the standard output of all commands, without colours."""
    terminal, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {name: text for name, text in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    environment |= {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT), "HEARTSTREAM_MODEL__PATH": "model"}
    command = [sys.executable, "-c", ALL, json.dumps(COMMANDS)]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL, cwd=folder, env=environment
    ) as process:
        os.close(theirs)
        output = b"".join(_until_closed(terminal))
    os.close(terminal)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", output.decode()).replace("\r\n", "\n")


def _until_closed(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(terminal, 65_536)
        except OSError:  # Linux says so when the other end is closed
            return
        if not part:
            return
        yield part


def _by_command(output: str) -> Iterator[tuple[str, str]]:
    for part in output.split("@ ")[1:]:
        name, _, text = part.partition("\n")
        yield name, text


def _words(text: str) -> set[str]:
    return set(text.replace("─", " ").split())


def too_long(text: str) -> list[str]:
    """Return the lines that do not fit."""
    return [line for line in text.splitlines() if cell_len(line) > NARROW]


@pytest.mark.parametrize("name", COMMANDS)
def test_output_fits_and_no_word_is_broken(name: str, printed: Callable[[int, str], str]) -> None:
    """Every word is one that a wide terminal shows, too."""
    narrow, wide = printed(NARROW, name), printed(WIDE, name)
    assert narrow.strip()
    assert too_long(narrow) == []
    assert _words(narrow) - _words(wide) == set()


@pytest.mark.parametrize("with_key", [False, True])
def test_dead_letters_fit(*, with_key: bool) -> None:
    """Errors, and keys, are below the other columns, with as many lines as they need."""
    fields = ("chol", "restecg", "thalach", "oldpeak", "trestbps")
    issues = tuple(ValidationIssue(RejectionCode.WRONG_TYPE, f"/{name}", "must be a number") for name in fields)
    reason = DeadLetter(issues, Source("demo.patients", 0, 67))
    letter = DeadLetterRecord(0, 1, 1_760_000_000_000, b"cleveland-000", b"{}", (), reason, 0, None, 1_048_577)
    table = Table(width=NARROW, with_key=with_key, position_width=9, source_width=23)
    shown = [
        table.head,
        table.row(letter, redriven=True),
        *letter_lines(letter, "dlq", redriven=True, with_value=False),
    ]
    assert too_long("\n".join(shown)) == []
    assert all(word in shown[1].split() for word in str(RecordError(issues)).split())


def test_usage_of_run_fits() -> None:
    """It is plain text, without a terminal."""
    usage = subprocess.run([ROOT / "run"], capture_output=True, text=True, check=True).stdout
    assert usage.startswith("Usage: ./run")
    assert too_long(usage) == []
