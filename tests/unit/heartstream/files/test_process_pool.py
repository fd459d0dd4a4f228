"""Several processes score a file exactly like one, and the death of a process is detected."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from itertools import chain, count, repeat
from pathlib import Path

import pytest

from heartstream.files.formats import Format
from heartstream.files.process_pool import ProcessPool
from heartstream.files.score import Request, score_file
from heartstream.files.tally import ScoredBatch
from schemas.errors import ArtifactError, DependencyError, RejectionCode, ValidationIssue
from scoring.lines import Lines
from scoring.scorer import Scorer
from tests.support.file_tables import COMPLETE, Row, as_records, unseen, write_csv, write_parquet
from tests.support.waiting import await_condition

DEADLINE_SECONDS = 60.0
_LARGE = 1 << 26
"""More than fits into the memory that processes share for a batch."""


def rows(number: int) -> list[Row]:
    """Return patients, one in a hundred of them invalid."""
    return [{**COMPLETE, "patient_id": f"p-{row}", "thal": 6 if row % 100 else 1} for row in range(number)]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[Format, Path]:
    """Write the same patients in each format; several batches of them."""
    folder, patients = tmp_path_factory.mktemp("sources"), rows(50_000)
    lines = folder / "in.ndjson"
    lines.write_bytes(b"\n".join(as_records(patients)))
    return {
        Format.NDJSON: lines,
        Format.CSV: write_csv(folder / "in.csv", patients),
        Format.PARQUET: write_parquet(folder / "in.parquet", patients),
    }


@pytest.mark.parametrize(("kind", "suffix"), [(Format.NDJSON, ".zst"), (Format.CSV, ".gz"), (Format.PARQUET, "")])
def test_any_number_of_processes_gives_the_same_files(
    kind: Format, suffix: str, sources: dict[Format, Path], scorer: Scorer, tmp_path: Path
) -> None:
    """Scores, errors, counts and order do not depend on it."""
    found = []
    for processes in (1, 3):
        output, errors = tmp_path / f"{processes}.ndjson{suffix}", tmp_path / f"{processes}.errors"
        tally = score_file(Request(sources[kind], output, errors, processes=processes), scorer, unseen)
        found.append((tally, output.read_bytes(), errors.read_bytes()))
    assert found[0] == found[1]
    assert found[0][0].rejected == 500


def joined(batch: object) -> ScoredBatch:
    """Stands for scoring: returns the batch's lines and the process that had it."""
    assert isinstance(batch, Lines)
    batch = list(batch)
    if batch == [b"bad model"]:
        raise ArtifactError("it is broken")
    if batch == [b"die"]:
        os.kill(os.getpid(), signal.SIGKILL)
    if batch[0] == b"tardy":
        await_condition(Path(batch[1].decode()).exists, DEADLINE_SECONDS)
    if batch == [b"leave"]:
        os._exit(3)
    content = b"x" * _LARGE if batch == [b"grow"] else b"+".join(batch)
    return ScoredBatch(
        content, len(batch), {0: (ValidationIssue(RejectionCode.EMPTY_VALUE, "", str(os.getpid())),)}, []
    )


def lines_of(lines: list[bytes]) -> Lines:
    return Lines(b"\n".join(lines))


def pooled(batches: Iterator[list[bytes]], processes: int = 2) -> Generator[tuple[bytes, str], None, None]:
    """Yield each result, and the process that produced it."""
    with ExitStack() as closing:
        for part in ProcessPool(joined, processes, closing).score(map(lines_of, batches)):
            yield bytes(part.content), part.rejected[0][0].message


def test_batches_are_distributed_and_return_in_order() -> None:
    """Every worker process gets some, this one none; a slot is reused only after it was read."""
    batches = [[b"%d" % number, b"of"] for number in range(100)]
    found = list(pooled(iter(batches), 3))
    assert [b"+".join(batch) for batch in batches] == [content for content, _ in found]
    assert len({process for _, process in found} - {str(os.getpid())}) == 3


def test_a_slow_process_gets_no_more_batches(tmp_path: Path) -> None:
    """The next batch goes to the least busy process, so a slow one delays only its own."""
    late = tmp_path / "late"
    with ExitStack() as closing:
        pool = ProcessPool(joined, 2, closing)

        def batches() -> Iterator[list[bytes]]:
            yield [b"tardy", str(late).encode()]
            for _ in range(3):
                await_condition(lambda: pool.pending() == [1, 0], DEADLINE_SECONDS)
                yield [b"a"]
            late.touch()

        first, *others = (part.rejected[0][0].message for part in pool.score(map(lines_of, batches())))
    assert len(others) == 3
    assert first not in others


def test_lack_of_memory_for_processes_is_reported() -> None:
    """The error suggests --processes 1, which needs no shared memory."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (1 << 26), before[1]))
    try:
        with pytest.raises(DependencyError, match="--processes 1 starts none"):
            list(pooled(iter([[b"a"], [b"b"]]), 16))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_results_too_large_for_shared_memory_are_handled() -> None:
    """A large batch is scored in this process, large results use the pipe, and the order stays."""
    found = list(pooled(iter([[b"a"], [b"y" * _LARGE], [b"b"], [b"grow"], [b"c"]] * 2)))
    assert [len(content) for content, _ in found] == [1, _LARGE, 1, _LARGE, 1] * 2
    assert found[1][1] == str(os.getpid())


def test_a_broken_model_raises_as_in_one_process() -> None:
    """The error of the worker process is the error of the run."""
    with pytest.raises(ArtifactError, match="it is broken"):
        list(pooled(iter([[b"a"], [b"bad model"], [b"b"]])))


@pytest.mark.parametrize(("how", "said"), [(b"die", r"was killed \(SIGKILL\)"), (b"leave", "ended with exit code 3")])
@pytest.mark.parametrize("rest", [repeat([b"a"]), ()])
def test_a_process_that_dies_ends_the_run(how: bytes, said: str, rest: Iterable[list[bytes]]) -> None:
    """The run waits neither for its batches nor for later ones."""
    found = []
    with pytest.raises(DependencyError, match=said):
        found.extend(pooled(chain([[b"a"]] * 4, [[how]], rest)))
    assert all(content == b"a" for content, _ in found)


def test_no_process_outlives_the_run() -> None:
    """Even if the run ends early."""
    parts = pooled([b"a"] for _ in count())
    processes = {int(next(parts)[1]) for _ in range(6)}
    parts.close()
    assert len(processes) == 2
    assert not [pid for pid in processes if Path(f"/proc/{pid}").exists()]
