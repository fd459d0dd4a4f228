"""`heartstream score` as a command: exit codes, pipes, and interrupted runs."""

from __future__ import annotations

import gzip
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from heartstream.files.output_files import Journal
from heartstream.files.output_paths import journal_path
from runtime.cpu_count import usable_cpus
from scoring.scorer import Scorer
from tests.support.examples import accepted, rejected, shows_another_coding
from tests.support.file_tables import reference_table, through_stream
from tests.support.waiting import await_condition

ROWS = 600_000
"""More than two journals' worth."""
DEADLINE_SECONDS = 200.0


def command(model: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "heartstream", "score", *arguments, "--model", str(model)]


def run(model: Path, *arguments: str, piped: bytes = b"", **settings: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, **settings}
    return subprocess.run(
        command(model, *arguments), input=piped, env=environment, capture_output=True, check=False, timeout=250
    )


def examples() -> list[bytes]:
    found = [value for _, value in accepted()] + [value for _, value, _ in rejected()]
    return [value for value in found if b"\n" not in value and value.strip() and not shows_another_coding(value)]


def test_examples_through_a_pipe(model_dir: Path, scorer: Scorer, tmp_path: Path) -> None:
    """Standard input to standard output: the stream's bytes, a line of counts, and the exit code for rejections."""
    scores, errors = through_stream(examples(), scorer)
    told = tmp_path / "errors.ndjson"
    done = run(model_dir, "-", "-o", "-", "--format", "ndjson", "--errors", str(told), piped=b"\n".join(examples()))
    assert (65, scores) == (done.returncode, done.stdout)
    assert errors == [json.loads(line) for line in told.read_bytes().splitlines()]
    (line,) = done.stderr.decode().splitlines()
    counts = f"{len(examples())} rows, {scores.count(b'}' + chr(10).encode())} scored, {len(errors)} rejected"
    assert line.startswith(f"heartstream: {counts}")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_tables_through_a_pipe(kind: str, model_dir: Path, tmp_path: Path) -> None:
    """CSV and Parquet can be piped too; if every row is scored the exit code is 0."""
    found = reference_table(1000).filter(pa.array(np.arange(1000) % 250 != 0))
    source = tmp_path / f"in.{kind}"
    (pyarrow.csv.write_csv if kind == "csv" else pq.write_table)(found, source)
    from_file = run(model_dir, str(source), "-o", str(tmp_path / "out.ndjson.gz"))
    piped = run(model_dir, "-", "-o", "-", "--format", kind, piped=source.read_bytes())
    assert (from_file.returncode, piped.returncode) == (0, 0)
    assert gzip.decompress((tmp_path / "out.ndjson.gz").read_bytes()) == piped.stdout
    assert len(found) == piped.stdout.count(b"\n")


def test_lines_of_a_declared_coding_are_scored_as_they_arrive(model_dir: Path) -> None:
    """The pipe is still open when their scores are written."""
    line = dict(accepted())["complete"].replace(b"\n", b" ")
    with subprocess.Popen(
        command(model_dir, "-", "-o", "-", "--format", "ndjson", "--coding", "uci"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for _ in range(3):
            child.stdin.write(line + b"\n")
            child.stdin.flush()
            assert child.stdout.readline().startswith(b'{"patient_id"')
        child.stdin.close()
        assert child.wait(60) == 0


def test_a_pipe_without_a_coding_is_scored_after_100_records(model_dir: Path) -> None:
    """99 lines have no score yet, as they could use another coding; the hundredth brings all of them."""
    line = dict(accepted())["complete"].replace(b"\n", b" ") + b"\n"
    with subprocess.Popen(
        command(model_dir, "-", "-o", "-", "--format", "ndjson"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(line * 99)
        child.stdin.flush()
        readable, _, _ = select.select([child.stdout], [], [], 5)
        assert readable == []
        child.stdin.write(line)
        child.stdin.flush()
        assert all(child.stdout.readline().startswith(b'{"patient_id"') for _ in range(100))
        child.stdin.close()
        assert child.wait(60) == 0


def test_a_closed_pipe_ends_the_run_without_a_traceback(model_dir: Path, tmp_path: Path) -> None:
    """As with `head`."""
    source = tmp_path / "in.parquet"
    pq.write_table(reference_table(50_000), source)
    with subprocess.Popen(
        command(model_dir, str(source), "-o", "-"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline()
        child.stdout.close()
        assert (child.stderr.read(), child.wait(60)) == (b"", 141)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["absent.csv", "-o", "out"], 69),
        (["-", "-o", "-"], 78),
        (["in.unknown", "-o", "out"], 78),
        (["-", "-o", "-", "--format", "csv"], 65),
        (["-", "-o", "-", "--format", "ndjson", "--resume"], 78),
    ],
)
def test_errors_have_exit_codes(arguments: Sequence[str], code: int, model_dir: Path) -> None:
    """One line on standard error has the reason."""
    done = run(model_dir, *arguments)
    assert (code, b"") == (done.returncode, done.stdout)
    assert done.stderr.startswith(b"heartstream: ")
    assert b"Traceback" not in done.stderr


def test_an_invalid_model_has_its_own_exit_code(tmp_path: Path) -> None:
    """65, as for every command."""
    assert run(tmp_path, "-", "-o", "-", "--format", "ndjson").returncode == 65


def test_score_settings_apply(model_dir: Path) -> None:
    """Details that are switched off for the stream are switched off for files."""
    line = dict(accepted())["complete"].replace(b"\n", b" ")
    done = run(
        model_dir,
        "-",
        "-o",
        "-",
        "--format",
        "ndjson",
        piped=line,
        HEARTSTREAM_SCORE__REASONS="0",
        HEARTSTREAM_SCORE__INTERVAL="false",
    )
    assert {"reasons", "interval"} & set(json.loads(done.stdout)) == set()
    assert done.returncode == 0


def children(pid: int) -> list[Path]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path("/proc") / child for child in found]


@pytest.mark.parametrize(
    ("inner", "outer", "blow", "code"),
    [
        ("parquet", "", signal.SIGKILL, -signal.SIGKILL),
        ("csv", ".zst", signal.SIGINT, 130),
        ("csv", "", signal.SIGTERM, -signal.SIGTERM),
    ],
)
def test_an_interrupted_run_is_resumed(
    inner: str, outer: str, blow: signal.Signals, code: int, model_dir: Path, tmp_path: Path
) -> None:
    """However it ended no process is left, and `--resume` gives the files of an undisturbed single process.

    Two processes score by default on two CPUs. Ctrl-C goes to all processes of a terminal: one line says what to
    do next.
    """
    source = tmp_path / f"in.{inner}"
    (pyarrow.csv.write_csv if inner == "csv" else pq.write_table)(reference_table(ROWS), source)
    wanted, output = tmp_path / f"whole.ndjson{outer}", tmp_path / f"out.ndjson{outer}"
    fast = {"HEARTSTREAM_SCORE__INTERVAL": "false", "HEARTSTREAM_SCORE__REASONS": "0"}
    whole = run(model_dir, str(source), "-o", str(wanted), "--processes", "1", **fast)
    assert whole.returncode == 65
    journal = journal_path(output)
    asked = [] if blow is signal.SIGTERM else ["--processes", "3"]
    expected = 3 if asked else (2 if usable_cpus() > 1 else 0)
    with subprocess.Popen(
        command(model_dir, str(source), "-o", str(output), *asked),
        env={**os.environ, **fast},
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        await_condition(lambda: journal.exists() and read(journal).batches > 0, DEADLINE_SECONDS)
        helpers = children(child.pid)
        assert len(helpers) == expected
        os.killpg(child.pid, blow) if blow is signal.SIGINT else child.send_signal(blow)
        _, said = child.communicate(timeout=60)
    assert (child.returncode, said) == (code, b"heartstream: interrupted; --resume continues\n" if code > 0 else b"")
    await_condition(lambda: not any(helper.exists() for helper in helpers), DEADLINE_SECONDS)
    assert not output.exists()
    left = read(journal)
    assert 0 < left.tally.rows < ROWS
    again = run(model_dir, str(source), "-o", str(output), "--resume", "--processes", "2", **fast)
    assert again.returncode == 65
    assert wanted.read_bytes() == output.read_bytes()
    errors = [path.with_name(f"{path.name}.errors.ndjson").read_bytes() for path in (wanted, output)]
    assert errors[0] == errors[1]
    assert whole.stderr.rpartition(b", ")[0] == again.stderr.rpartition(b", ")[0]
    assert not journal.exists()


def test_a_terminal_shows_progress(model_dir: Path, tmp_path: Path) -> None:
    """Rows, rate and remaining time while several processes score; a line of counts at the end."""
    source = tmp_path / "in.parquet"
    pq.write_table(reference_table(200_000), source)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    arguments = command(model_dir, str(source), "-o", str(tmp_path / "out.ndjson"), "--processes", "2")
    with subprocess.Popen(arguments, env=environment, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        seen = b""
        with suppress(OSError):  # as a terminal ends whose other side is closed
            while part := os.read(ours, 4096):
                seen += part
        assert child.wait(60) == 65
    os.close(ours)
    drawn, _, last = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", seen.decode()).rpartition("heartstream: ")
    assert re.search(r" \d+%  \d{2,3},\d{3} rows, \d+ rejected, [\d,]+ rows/s 0:00:\d\d", drawn)
    assert last.startswith("200,000 rows, ")


def read(journal: Path) -> Journal:
    return msgspec.json.decode(journal.read_bytes(), type=Journal)
