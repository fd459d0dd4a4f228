"""Scoring of files beside reading and writing alone: `python -m bench.files --help` (bench/README.md)."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bench.file_memory import MEMORY_ROWS, memory
from bench.file_peers import compare, contenders
from bench.load import legal_patients, tell
from bench.report import Spread
from bench.uci import as_matrix
from heartstream.files.batching import BATCH_ROWS
from heartstream.files.columns import columns_of
from heartstream.files.formats import Format, uncompressed
from heartstream.files.output_files import PartialFile
from heartstream.files.records import open_records
from heartstream.files.score import Request, score_batch, score_file
from heartstream.files.tally import Tally
from heartstream.terminal.exit_codes import errors_to_exit_codes
from runtime.gc_tuning import tune_gc
from schemas.codec import encode_score_lines
from schemas.records import Details
from schemas.tables.builtin import UCI_HEART
from scoring.lines import Lines
from scoring.scorer import Scorer
from training.pipeline import TrainingRequest, train

MODELS: Final = ("logistic_regression", "pattern_submodels")
DETAILS: Final = {
    "all details": Details(),
    "risk alone": Details(interval=False, label_set=False, reasons=0, measure_next=False),
}
GOAL_ROWS_PER_S: Final = 500_000
GOAL_RATIO: Final = 0.8
_GROUP_ROWS: Final = 8 * BATCH_ROWS
_MET: Final = {True: "met", False: "MISSED"}


class Run(msgspec.Struct, frozen=True):
    """One pass over a file: seconds by the clock, and of all processors."""

    seconds: float
    processor: float


class Figure(msgspec.Struct, frozen=True):
    """Medians of one format, model, choice of details and number of processes that score.

    `ratio` is to the rate of reading and writing alone.
    """

    format: str
    model: str
    details: str
    processes: int
    rows_per_s: Spread
    bare_rows_per_s: Spread
    ratio: Spread
    processor_us: Spread
    bare_processor_us: Spread


def timed(action: Callable[[], object]) -> Run:
    """Run once. Processes that it starts are counted when they have ended."""
    started, used = time.perf_counter(), _processor_seconds()
    action()
    return Run(time.perf_counter() - started, _processor_seconds() - used)


def _processor_seconds() -> float:
    return sum(os.times()[:4])


def patients(first: int, rows: int) -> pa.Table:
    """Return the snapshot's legal patients in turn, each with an id of its own, numbered from `first`."""
    matrix = np.resize(as_matrix(legal_patients()), (rows, len(UCI_HEART.names)))
    ids = pa.array([f"p-{number:07}" for number in range(first, first + rows)])
    columns = {name: pa.array(matrix[:, place], from_pandas=True) for place, name in enumerate(UCI_HEART.names)}
    return pa.table({"patient_id": ids} | columns)


def write(path: Path, kind: Format, rows: int) -> Path:
    """Write a file of patients, a group of rows at a time."""
    starts = range(0, rows, _GROUP_ROWS)
    tables = (patients(first, min(_GROUP_ROWS, rows - first)) for first in starts)
    schema = patients(0, 1).schema
    match kind:
        case Format.PARQUET:
            with pyarrow.parquet.ParquetWriter(path, schema) as parquet:
                for table in tables:
                    parquet.write_table(table)
        case Format.CSV:
            with pyarrow.csv.CSVWriter(path, schema) as csv:
                for table in tables:
                    csv.write_table(table)
        case Format.NDJSON:
            encoder = msgspec.json.Encoder()
            with path.open("wb") as file:
                for table in tables:
                    file.write(encoder.encode_lines(table.to_pylist()))
    return path


def write_input(scratch: Path, rows: int, kind: Format) -> Path:
    """Write a file of patients, and say so."""
    tell(f"writing {rows:,} rows of {kind}")
    return write(scratch / f"in.{kind}", kind, rows)


def score(source: Path, output: Path, scorer: Scorer, processes: int) -> None:
    """Score the file as the command does."""
    score_file(Request(source, output, force=True, processes=processes), scorer, _unseen)


def _unseen(_done: int, _total: int | None, _tally: Tally) -> None:
    pass


def read_and_write(source: Path, kind: Format, output: Path, parts: Sequence[bytes]) -> None:
    """Read the file into ids and numbers (lines, for NDJSON), and write the bytes of its scores, ready made."""
    with ExitStack() as closing:
        sink = PartialFile(output, 0, uncompressed, closing)
        for batch, part in zip(_batches(source, kind), parts, strict=True):
            if isinstance(batch, Lines):
                list(batch)
            else:
                columns_of(batch, UCI_HEART)
            sink.write(part)
        sink.sync()
        sink.partial.replace(output)


def _batches(source: Path, kind: Format) -> Iterator[object]:
    with ExitStack() as closing:
        yield from open_records(source, kind, closing, UCI_HEART).batches()


def measure(
    source: Path, kind: Format, scorer: Scorer, rounds: int, processes: Sequence[int]
) -> tuple[list[list[Run]], list[Run]]:
    """Alternate scoring by each number of processes with reading and writing; see that all write the same bytes.

    A round before is not counted.
    """
    parts = [encode_score_lines(score_batch(batch, scorer).scores) for batch in _batches(source, kind)]
    output, bare = source.with_name("scored"), source.with_name("bare")
    actions = [lambda: read_and_write(source, kind, bare, parts)]
    actions += [partial(score, source, output, scorer, number) for number in processes]
    runs: list[list[Run]] = [[] for _ in actions]
    for number in range(rounds + 1):
        places = range(len(actions))
        for place in places if number % 2 else reversed(places):
            run = timed(actions[place])
            if number:
                runs[place].append(run)
            if place and bare.exists() and output.read_bytes() != bare.read_bytes():
                raise SystemExit("the two wrote different bytes")
    output.unlink()
    bare.unlink()
    return runs[1:], runs[0]


def figure(of: tuple[Format, Scorer, str, int], rows: int, scored: Sequence[Run], bare: Sequence[Run]) -> Figure:
    """Sum one measurement up."""
    kind, scorer, details, processes = of
    return Figure(
        kind,
        scorer.model.name,
        details,
        processes,
        Spread.of([rows / run.seconds for run in scored]),
        Spread.of([rows / run.seconds for run in bare]),
        Spread.of([alone.seconds / run.seconds for run, alone in zip(scored, bare, strict=True)]),
        Spread.of([run.processor / rows * 1e6 for run in scored]),
        Spread.of([run.processor / rows * 1e6 for run in bare]),
    )


def lines(figures: Sequence[Figure]) -> Iterator[str]:
    """Write the table as Markdown, and whether the goals are met."""
    yield "| format | model | scores with | processes | rows/s (min..max) | bare | ratio | CPU per row | bare |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for each in figures:
        rate, ratio = each.rows_per_s, each.ratio
        yield (
            f"| {each.format} | {each.model} | {each.details} | {each.processes} "
            f"| {rate.median:,.0f} ({rate.low:,.0f}..{rate.high:,.0f}) "
            f"| {each.bare_rows_per_s.median:,.0f} | {ratio.median:.2f} ({ratio.low:.2f}..{ratio.high:.2f}) "
            f"| {each.processor_us.median:.2f} µs | {each.bare_processor_us.median:.2f} µs |"
        )
    yield ""
    for each in figures:
        if each.format == Format.PARQUET and each.model == MODELS[0]:
            of = f"{each.details}, {each.processes} processes: goal"
            yield f"{of} {GOAL_ROWS_PER_S:,} rows/s {_MET[each.rows_per_s.median >= GOAL_ROWS_PER_S]}"
            yield f"{of} {GOAL_RATIO} of reading and writing {_MET[each.ratio.median >= GOAL_RATIO]}"
    yield f"load average of this machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.files", description=__doc__, epilog="example: python -m bench.files --quick"
    )
    parser.add_argument("--rows", type=int, default=500_000, help="rows of each file (default 500,000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default 5)")
    parser.add_argument(
        "--processes", type=int, nargs="+", default=[1, 2], metavar="N", help="how many score (default 1 and 2)"
    )
    parser.add_argument("--quick", action="store_true", help="Parquet and one model, 200,000 rows, 3 rounds")
    parser.add_argument("--memory", action="store_true", help=f"measure memory instead, with {MEMORY_ROWS:,} rows")
    parser.add_argument("--peers", action="store_true", help="compare with Polars, DuckDB, pandas and Spark instead")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here")
    return parser.parse_args(sys.argv[1:])


def _figures(
    folder: Path, asked: argparse.Namespace, rows: int, rounds: int, written: Callable[[Format], Path]
) -> Iterator[Figure]:
    kinds, models = ((Format.PARQUET,), MODELS[:1]) if asked.quick else (tuple(Format), MODELS)
    tune_gc()
    for kind in kinds:
        source = written(kind)
        for model, (name, details) in product(models, DETAILS.items()):
            tell(f"{kind}, {model}, {name}")
            scorer = Scorer.from_directory(folder, model, details)
            scored, bare = measure(source, kind, scorer, rounds, asked.processes)
            for number, runs in zip(asked.processes, scored, strict=True):
                yield figure((kind, scorer, name, number), rows, runs, bare)
        source.unlink()


@errors_to_exit_codes()
def main() -> None:
    """Train, write the files, measure, print."""
    asked = _asked()
    rows, rounds = (200_000, 3) if asked.quick else (asked.rows, asked.rounds)
    with tempfile.TemporaryDirectory(prefix="heartstream-bench-") as scratch:
        folder, written = Path(scratch) / "model", partial(write_input, Path(scratch))
        tell("training the models")
        train(TrainingRequest(output=folder, model_version="bench", quick=True))
        if asked.memory:
            print("\n".join(memory(folder, MEMORY_ROWS, asked.processes, partial(written, MEMORY_ROWS))))
            return
        if asked.peers:
            found = compare(contenders(folder, Path(scratch), asked.processes[-1]), rounds, partial(written, rows))
            text, document = found.lines(), found.as_json()
        else:
            figures = [*_figures(folder, asked, rows, rounds, partial(written, rows))]
            text, document = lines(figures), msgspec.json.format(msgspec.json.encode({"results": figures})) + b"\n"
    print("\n".join(text))
    if asked.json:
        asked.json.write_bytes(document)


if __name__ == "__main__":
    main()
