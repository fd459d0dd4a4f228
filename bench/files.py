"""The file door beside reading and writing alone: `python -m bench.files --help`. What is measured: bench/README.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from bench.load import legal_patients, tell
from bench.report import Spread
from heartstream.score.columns import columns_of
from heartstream.score.formats import Format
from heartstream.score.reading import open_records
from heartstream.score.run import Request, score_batch, score_file
from heartstream.score.tables import BATCH_ROWS
from heartstream.score.tally import Tally
from heartstream.score.writing import PartialFile
from schemas.features import FEATURE_NAMES
from schemas.records import Details
from scoring.matrix import as_matrix
from scoring.scorer import Scorer
from training.run import TrainingRequest, train

MODELS: Final = ("logistic_regression", "pattern_submodels")
DETAILS: Final = {"all details": Details(), "risk alone": Details(interval=False, label_set=False, reasons=0)}
GOAL_ROWS_PER_S: Final = 500_000
GOAL_RATIO: Final = 0.8


class Run(msgspec.Struct, frozen=True):
    """One pass over a file: seconds by the clock and of the processor."""

    seconds: float
    processor: float


class Figure(msgspec.Struct, frozen=True):
    """Medians of one format, model and choice of details; `ratio` is to the rate of reading and writing alone."""

    format: str
    model: str
    details: str
    rows_per_s: Spread
    bare_rows_per_s: Spread
    ratio: Spread
    processor_us: Spread
    bare_processor_us: Spread


def timed(action: Callable[[], object]) -> Run:
    """Run once."""
    started, used = time.perf_counter(), time.process_time()
    action()
    return Run(time.perf_counter() - started, time.process_time() - used)


def files(folder: Path, rows: int) -> dict[Format, Path]:
    """Write the snapshot's legal patients in turn, each with an id of its own, in each format."""
    matrix = np.resize(as_matrix(legal_patients()), (rows, len(FEATURE_NAMES)))
    ids = pa.array([f"p-{number:07}" for number in range(rows)])
    columns = {name: pa.array(matrix[:, place], from_pandas=True) for place, name in enumerate(FEATURE_NAMES)}
    table = pa.table({"patient_id": ids} | columns)
    found = {kind: folder / f"in.{kind}" for kind in Format}
    pyarrow.parquet.write_table(table, found[Format.PARQUET], row_group_size=8 * BATCH_ROWS)
    pyarrow.csv.write_csv(table, found[Format.CSV])
    encoder = msgspec.json.Encoder()
    with found[Format.NDJSON].open("wb") as file:
        for batch in table.to_batches(BATCH_ROWS):
            file.write(encoder.encode_lines(batch.to_pylist()))
    return found


def score(source: Path, output: Path, scorer: Scorer) -> None:
    """Score the file as the command does."""
    score_file(Request(source, output, force=True), scorer, _unseen)


def _unseen(_done: int, _total: int | None, _tally: Tally) -> None:
    pass


def read_and_write(source: Path, kind: Format, output: Path, parts: Sequence[bytes]) -> None:
    """Read the file into ids and numbers (lines, for NDJSON), and write the bytes of its scores, ready made."""
    with ExitStack() as closing:
        sink = PartialFile(output, 0, closing)
        for batch, part in zip(_batches(source, kind), parts, strict=True):
            if not isinstance(batch, list):
                columns_of(batch)
            sink.write(part)
        sink.sync()
        sink.partial.replace(output)


def _batches(source: Path, kind: Format) -> Iterator[object]:
    with ExitStack() as closing:
        yield from open_records(source, kind, closing).batches()


def measure(source: Path, kind: Format, scorer: Scorer, rounds: int) -> tuple[list[Run], list[Run]]:
    """Alternate scoring with reading and writing, after an uncounted round; see that both write the same bytes."""
    parts = [score_batch(batch, scorer).scores for batch in _batches(source, kind)]
    scored, bare = source.with_name("scored"), source.with_name("bare")
    runs: tuple[list[Run], list[Run]] = ([], [])
    actions = (lambda: score(source, scored, scorer), lambda: read_and_write(source, kind, bare, parts))
    for number in range(rounds + 1):
        order = (0, 1) if number % 2 else (1, 0)
        for place in order:
            run = timed(actions[place])
            if number:
                runs[place].append(run)
        if scored.read_bytes() != bare.read_bytes():
            raise SystemExit("the two wrote different bytes")
        scored.unlink()
        bare.unlink()
    return runs


def figure(kind: Format, scorer: Scorer, details: str, rows: int, runs: tuple[list[Run], list[Run]]) -> Figure:
    """Sum one measurement up."""
    scored, bare = runs
    return Figure(
        kind,
        scorer.model.name,
        details,
        Spread.of([rows / run.seconds for run in scored]),
        Spread.of([rows / run.seconds for run in bare]),
        Spread.of([alone.seconds / run.seconds for run, alone in zip(scored, bare, strict=True)]),
        Spread.of([run.processor / rows * 1e6 for run in scored]),
        Spread.of([run.processor / rows * 1e6 for run in bare]),
    )


def lines(figures: Sequence[Figure]) -> Iterator[str]:
    """Write the table as Markdown, and whether the goals are met."""
    yield "| format | model | scores with | rows/s (min..max) | bare | ratio | CPU a row | bare |"
    yield "|---|---|---|---|---|---|---|---|"
    for each in figures:
        rate, ratio = each.rows_per_s, each.ratio
        yield (
            f"| {each.format} | {each.model} | {each.details} | {rate.median:,.0f} ({rate.low:,.0f}..{rate.high:,.0f}) "
            f"| {each.bare_rows_per_s.median:,.0f} | {ratio.median:.2f} ({ratio.low:.2f}..{ratio.high:.2f}) "
            f"| {each.processor_us.median:.2f} µs | {each.bare_processor_us.median:.2f} µs |"
        )
    yield ""
    for each in figures:
        if each.format == Format.PARQUET and each.model == MODELS[0]:
            yield f"{each.details}: goal {GOAL_ROWS_PER_S:,} rows/s {_met(each.rows_per_s.median, GOAL_ROWS_PER_S)}"
            yield f"{each.details}: goal {GOAL_RATIO} of reading and writing {_met(each.ratio.median, GOAL_RATIO)}"
    yield f"load average of this machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"


def _met(value: float, goal: float) -> str:
    return "met" if value >= goal else "MISSED"


def main() -> None:
    """Train, write the files, measure, print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.files", description=__doc__, epilog="example: python -m bench.files --quick"
    )
    parser.add_argument("--rows", type=int, default=500_000, help="rows of each file (default 500,000)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default 5)")
    parser.add_argument("--quick", action="store_true", help="Parquet and one model, 200,000 rows, 3 rounds")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the figures here")
    asked = parser.parse_args(sys.argv[1:])
    rows, rounds = (200_000, 3) if asked.quick else (asked.rows, asked.rounds)
    kinds, models = ((Format.PARQUET,), MODELS[:1]) if asked.quick else (tuple(Format), MODELS)
    with tempfile.TemporaryDirectory(prefix="heartstream-bench-") as scratch:
        folder = Path(scratch) / "model"
        tell("training the models")
        train(TrainingRequest(output=folder, model_version="bench", quick=True))
        tell(f"writing {rows:,} rows")
        sources = files(Path(scratch), rows)
        figures = []
        for kind in kinds:
            for model in models:
                for name, details in DETAILS.items():
                    tell(f"{kind}, {model}, {name}")
                    scorer = Scorer.from_directory(folder, model, details)
                    runs = measure(sources[kind], kind, scorer, rounds)
                    figures.append(figure(kind, scorer, name, rows, runs))
    print("\n".join(lines(figures)))
    if asked.json:
        asked.json.write_bytes(msgspec.json.format(msgspec.json.encode({"results": figures})) + b"\n")


if __name__ == "__main__":
    main()
