"""No run overwrites its input, a device or another run's files, and only the owner can read its output."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from heartstream.files.output_paths import journal_path, partial_path
from heartstream.files.score import Request, score_file
from heartstream.files.tally import Tally
from schemas.errors import DependencyError, SettingsError
from scoring.scorer import Scorer
from tests.support.file_tables import COMPLETE, as_records, unseen

BAD = {**COMPLETE, "thal": 4}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.ndjson"
    path.write_bytes(b"\n".join(as_records([COMPLETE, BAD, COMPLETE])) + b"\n")
    return path


def same(source: Path, path: Path) -> None:
    assert source == path


def hard_link(source: Path, path: Path) -> None:
    path.hardlink_to(source)


def symbolic_link(source: Path, path: Path) -> None:
    path.symlink_to(source)


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("target", ["output", "errors", "partial", "journal"])
@pytest.mark.parametrize("link", [hard_link, symbolic_link])
def test_the_input_is_never_written(
    link: Callable[[Path, Path], None],
    target: str,
    resume: bool,  # noqa: FBT001
    source: Path,
    scorer: Scorer,
    tmp_path: Path,
) -> None:
    """Under none of its names, even with --force."""
    output, errors = tmp_path / "out.ndjson", tmp_path / "errors.ndjson"
    link(
        source,
        {"output": output, "errors": errors, "partial": partial_path(output), "journal": journal_path(output)}[target],
    )
    before = source.read_bytes()
    with pytest.raises(SettingsError, match=r"is the input file|not a regular file"):
        score_file(Request(source, output, errors, force=True, resume=resume), scorer, unseen)
    assert before == source.read_bytes()


@pytest.mark.parametrize("which", ["output", "errors"])
def test_the_input_under_its_own_name_is_never_written(
    which: str, source: Path, scorer: Scorer, tmp_path: Path
) -> None:
    """Neither by scores nor by rejected rows."""
    other, before = tmp_path / "other.ndjson", source.read_bytes()
    output, errors = (source, other) if which == "output" else (other, source)
    with pytest.raises(SettingsError, match="is the input file"):
        score_file(Request(source, output, errors, force=True), scorer, unseen)
    assert before == source.read_bytes()


@pytest.mark.parametrize("which", ["output", "errors", "partial"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "directory"])
def test_special_files_are_not_replaced(
    make: Callable[[Path], None], which: str, source: Path, scorer: Scorer, tmp_path: Path
) -> None:
    """A FIFO or a directory is neither replaced nor opened."""
    output, errors = tmp_path / "out.ndjson", tmp_path / "errors.ndjson"
    path = {"output": output, "errors": errors, "partial": partial_path(output)}[which]
    make(path)
    kind = stat.S_IFMT(path.lstat().st_mode)
    with pytest.raises(SettingsError, match="not a regular file"):
        score_file(Request(source, output, errors, force=True), scorer, unseen)
    assert kind == stat.S_IFMT(path.lstat().st_mode)


def test_a_device_is_not_replaced(source: Path, scorer: Scorer) -> None:
    """/dev/null is refused as an output; standard output is `-o -`."""
    with pytest.raises(SettingsError, match="-o - for standard output"):
        score_file(Request(source, Path(os.devnull), None, force=True), scorer, unseen)
    assert Path(os.devnull).is_char_device()


def test_a_symbolic_link_is_replaced_and_never_written_through(source: Path, scorer: Scorer, tmp_path: Path) -> None:
    """--force replaces the link and keeps its target; without it even a broken link counts as an existing file."""
    precious, output = tmp_path / "precious", tmp_path / "out.ndjson"
    output.symlink_to(precious)
    with pytest.raises(SettingsError, match="--force replaces it"):
        score_file(Request(source, output), scorer, unseen)
    precious.write_text("precious")
    score_file(Request(source, output, force=True), scorer, unseen)
    assert (precious.read_text(), output.is_symlink()) == ("precious", False)
    partial_path(tmp_path / "next").symlink_to(precious)
    with pytest.raises(SettingsError, match="not a regular file"):
        score_file(Request(source, tmp_path / "next", force=True), scorer, unseen)
    assert precious.read_text() == "precious"


def test_scores_and_errors_are_two_files(source: Path, scorer: Scorer, tmp_path: Path) -> None:
    """However their paths are written, and even if one names another file of the run."""
    output = tmp_path / "out.ndjson"
    for errors in (output, tmp_path / "." / "out.ndjson", partial_path(output), journal_path(output)):
        with pytest.raises(SettingsError, match="--errors needs its own file"):
            score_file(Request(source, output, errors, force=True), scorer, unseen)


@pytest.mark.parametrize("shared", ["output", "errors"])
def test_two_runs_never_write_one_file(shared: str, source: Path, scorer: Scorer, tmp_path: Path) -> None:
    """The second one is refused while the first runs, even with --force; the first is not affected."""
    first = Request(source, tmp_path / "1.ndjson", tmp_path / "1.errors")
    output = first.output if shared == "output" else tmp_path / "2.ndjson"
    errors = first.errors if shared == "errors" else tmp_path / "2.errors"
    told = []

    def meanwhile(_done: int, _total: int | None, tally: Tally) -> None:
        if not tally.rows:
            with pytest.raises(SettingsError, match="another run is writing") as caught:
                score_file(Request(source, output, errors, force=True), scorer, unseen)
            told.append(caught.value)

    assert score_file(first, scorer, meanwhile).rows == 3
    assert len(told) == 1
    assert {"in.ndjson", "1.ndjson", "1.errors"} == {path.name for path in tmp_path.iterdir()}


def test_an_output_that_appeared_during_the_run_is_not_replaced(source: Path, scorer: Scorer, tmp_path: Path) -> None:
    """The new file stays, and the scores are kept for --resume."""
    request = Request(source, tmp_path / "out.ndjson")

    def appear(*_: object) -> None:
        request.output.write_text("theirs")

    with pytest.raises(SettingsError, match="--force replaces it, with --resume"):
        score_file(request, scorer, appear)
    assert request.output.read_text() == "theirs"
    assert score_file(Request(source, request.output, force=True, resume=True), scorer, unseen).rows == 3
    assert {"in.ndjson", "out.ndjson"} == {path.name for path in tmp_path.iterdir()}


@pytest.fixture
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_only_the_owner_reads_patients_data(source: Path, scorer: Scorer, tmp_path: Path) -> None:
    """Scores, rejected rows and temporary files have mode 0600, whatever the umask and earlier files."""
    request, seen = Request(source, tmp_path / "out.ndjson", tmp_path / "errors.ndjson", force=True), set[int]()
    partial_path(request.output).write_text("half")

    def look(*_: object) -> None:
        seen.update(stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir() if path != source)

    assert score_file(request, scorer, look).rejected == 1
    look()
    assert {0o600} == seen


def test_a_file_of_errors_that_cannot_be_written_leaves_nothing_behind(
    source: Path, scorer: Scorer, tmp_path: Path
) -> None:
    """The corrected command can then start from scratch."""
    with pytest.raises(DependencyError, match="cannot write"):
        score_file(Request(source, tmp_path / "out.ndjson", tmp_path / "absent" / "errors"), scorer, unseen)
    assert {"in.ndjson"} == {path.name for path in tmp_path.iterdir()}
