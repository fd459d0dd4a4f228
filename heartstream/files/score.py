"""Scores one file: reads, scores and writes in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Final

import msgspec

from heartstream.files.batching import BATCHING
from heartstream.files.formats import PIPE, Compress, Format, compression_of, compressor, format_of, uncompressed
from heartstream.files.input_file import InputOptions, NotesCallback, read_errors
from heartstream.files.output_files import Job, Journal, Output, read_journal
from heartstream.files.output_paths import existing, final_paths, partial_path, path_problems
from heartstream.files.process_pool import ProcessPool
from heartstream.files.records import open_records
from heartstream.files.tally import ScoredBatch, Tally
from schemas.codec import encode_score_lines
from schemas.errors import SettingsError
from schemas.read_options import ReadOptions
from schemas.records import Details
from schemas.tables.feature_table import FeatureTable
from scoring.batches import JsonBatch
from scoring.engines import SklearnEngine
from scoring.evidence import SourceWindow
from scoring.pipeline import Results
from scoring.scorer import Scorer
from scoring.sources import refuse_foreign

ProgressCallback = Callable[[int, int | None, Tally], None]
"""Called at the start and after each batch with the amount of input read, its total (None if unknown), and the counts.
All processes are running by then."""

HELD_RECORDS: Final = 100
"""In any hundred consecutive records in another coding at least 25 show it; six are enough."""
_JOURNAL_BATCHES: Final = 32
"""A quarter of a million rows, about a second of work."""


class Request(msgspec.Struct, frozen=True):
    """What to score, and where to write the results. Without `errors`, rejected rows are only counted.

    With more than one of `processes`, that many score, and this one reads and writes. `coding` applies to records
    that name none.
    """

    source: Path
    output: Path
    errors: Path | None = None
    format: Format | None = None
    resume: bool = False
    force: bool = False
    processes: int = 1
    coding: str | None = None
    options: ReadOptions = ReadOptions()


def score_file(
    request: Request, scorer: Scorer, on_progress: ProgressCallback, on_notes: NotesCallback | None = None
) -> Tally:
    """Score a file; `on_notes` receives how it is read, before the first row.

    Raises SettingsError, DataError, DependencyError and ArtifactError.

    A file with a final name is always complete, and its source showed no other coding.
    """
    kind = format_of(request.source, request.format)
    _refuse_overwriting(request)
    with ExitStack() as closing:
        reading = InputOptions(request.options, request.coding, on_notes)
        records = open_records(request.source, kind, closing, scorer.compiled.table, reading)
        start = _start(request, kind, scorer)
        batches, tally = (start.batches, start.tally) if start else (0, Tally())
        parts, compress = _scored(request, islice(records.batches(), batches, None), scorer, closing)
        output = Output(request.output, request.errors, start, compress, closing)
        output.checkpoint(batches, tally)
        on_progress(records.done(), records.total, tally)
        for part in _of_one_coding(parts, request, scorer.compiled.table, output):
            output.scores.write(part.content)
            output.errors.write(tally.error_lines(part))
            tally, batches = tally.plus(part), batches + 1
            if batches % _JOURNAL_BATCHES == 0:
                output.checkpoint(batches, tally)
            on_progress(records.done(), records.total, tally)
        # This run still holds the locks, so an existing file does not belong to a run in progress.
        if not request.force and (late := existing(request.output, request.errors)):
            raise SettingsError(tuple(f"{each}, with --resume" for each in late))
        output.publish()
    return msgspec.structs.replace(tally, missing=dict(records.missing), blank_rows=records.blank_rows)


def _of_one_coding(
    parts: Iterator[ScoredBatch], request: Request, table: FeatureTable, output: Output
) -> Iterator[ScoredBatch]:
    """Pass the results on until the file shows another coding; then delete the output and raise DataError.

    Standard output cannot be taken back, so the first results are held until enough records were seen.
    """
    window, seen, held = SourceWindow(), 0, deque[ScoredBatch]()
    for part in parts:
        seen += part.scored + len(part.rejected)
        if window.add(part.evidence):
            output.discard()
            raise refuse_foreign("standard input" if request.source == PIPE else str(request.source), seen, table)
        if request.output == PIPE and request.coding is None and seen < HELD_RECORDS:
            held.append(msgspec.structs.replace(part, content=bytes(part.content)))
            continue
        while held:
            yield held.popleft()
        yield part
    yield from held


def _scored(
    request: Request, batches: Iterator[object], scorer: Scorer, closing: ExitStack
) -> tuple[Iterator[ScoredBatch], Compress]:
    """Return the results, and the compression that writing still has to apply."""
    compress = uncompressed if request.output == PIPE else compressor(compression_of(request.output))
    # Records from a pipe are scored as they come. scikit-learn's threads do not survive a fork.
    if request.processes > 1 and request.source != PIPE and scorer.engine != SklearnEngine.name:
        first = [*islice(batches, 2)]
        batches = chain(first, batches)
        if len(first) > 1:
            pool = ProcessPool(
                lambda batch: _score_batch(batch, scorer, request.coding, compress), request.processes, closing
            )
            return pool.score(batches), uncompressed
    return (_score_batch(batch, scorer, request.coding, uncompressed) for batch in batches), compress


def _score_batch(batch: object, scorer: Scorer, coding: str | None, compress: Compress) -> ScoredBatch:
    results = score_batch(batch, scorer, coding)
    scores = compress(encode_score_lines(results.scores))
    return ScoredBatch(scores, results.scored, results.rejected, results.evidence())


def score_batch(batch: object, scorer: Scorer, coding: str | None = None) -> Results:
    """Score a batch of lines or columns; `coding` is the one named for its file. Raises ArtifactError."""
    if isinstance(batch, Sequence):
        return scorer.score(JsonBatch(batch, coding).decode(scorer.compiled))
    from heartstream.files.columns import columns_of  # noqa: PLC0415  # pyarrow, where it is needed

    return scorer.score(columns_of(batch, scorer.compiled.table, coding).decode(scorer.compiled))


def _start(request: Request, kind: Format, scorer: Scorer) -> Journal | None:
    """Return where to start, None if no journal can be kept."""
    if PIPE in {request.source, request.output}:
        return None
    with read_errors(request.source):
        source = request.source.stat()
    details = msgspec.convert(scorer.details, Details, from_attributes=True)
    job = Job(
        source.st_size,
        source.st_mtime_ns,
        kind,
        scorer.model,
        scorer.engine,
        details,
        BATCHING,
        request.coding,
        request.options,
    )
    return read_journal(request.output, job) if request.resume else Journal(job)


def _refuse_overwriting(request: Request) -> None:
    """Raise SettingsError if the input or earlier results would be lost, or the run cannot be resumed."""
    if request.resume and PIPE in {request.source, request.output}:
        raise SettingsError(("--resume needs files: a pipe cannot be read again",))
    if request.errors == PIPE:
        raise SettingsError(("--errors needs its own file",))
    problems = path_problems(request.source, request.output, request.errors)
    if not request.force:
        files = final_paths(request.output, request.errors)
        problems += existing(request.output, request.errors)
        if not request.resume and any(partial_path(path).exists() for path in files):
            problems.append(
                f"{request.output} belongs to an interrupted run: --resume continues it, --force starts over"
            )
    if problems:
        raise SettingsError(tuple(problems))
