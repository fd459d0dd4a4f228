"""Scoring one file: read, score, write, a batch at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Final

import msgspec

from heartstream.files.batching import BATCHING
from heartstream.files.formats import PIPE, Format, Pack, as_it_is, compression_of, compressor, format_of
from heartstream.files.input_file import Announce, Reading, readable
from heartstream.files.output_files import Job, Journal, Output, read_journal
from heartstream.files.output_paths import existing, finals, partial_of, target_problems
from heartstream.files.process_pool import Crew
from heartstream.files.records import open_records
from heartstream.files.tally import Part, Tally
from schemas.errors import SettingsError
from schemas.reading import ReadOptions
from schemas.records import Details
from scoring.engines import SklearnEngine
from scoring.evidence import SourceWindow
from scoring.pipeline import Lines, process_columns, process_lines
from scoring.scorer import Scorer
from scoring.sources import refuse_foreign

Watch = Callable[[int, int | None, Tally], None]
"""Told, at the start and after each batch, how much of the input is done, of how much (None: not known), and what
became of it. All processes are running by then."""

HELD_RECORDS: Final = 100
"""In every hundred consecutive records of a copy in another coding at least 25 show it; six are enough."""
_JOURNAL_BATCHES: Final = 32
"""A quarter of a million rows: about a second's work."""


class Request(msgspec.Struct, frozen=True):
    """What is to be scored, and where results go. Without `errors`, rejected rows are only counted.

    With more than one of `processes`, so many score, and this one reads and writes. `coding` is that of all records
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


def score_file(request: Request, scorer: Scorer, watch: Watch, announce: Announce | None = None) -> Tally:
    """Score a file; `announce` is given once what was understood of it, before the first row.

    Raises SettingsError, DataError, DependencyError and ArtifactError.

    Whatever happens, a file under a final name is complete, and of a source that showed no other coding.
    """
    kind = format_of(request.source, request.format)
    _refuse_overwriting(request)
    with ExitStack() as closing:
        records = open_records(request.source, kind, closing, Reading(request.options, request.coding, announce))
        start = _start(request, kind, scorer)
        batches, tally = (start.batches, start.tally) if start else (0, Tally())
        parts, pack = _scored(request, islice(records.batches(), batches, None), scorer, closing)
        output = Output(request.output, request.errors, start, pack, closing)
        output.note(batches, tally)
        watch(records.done(), records.total, tally)
        for part in _of_one_coding(parts, request, output):
            output.scores.write(part.content)
            output.errors.write(tally.error_lines(part))
            tally, batches = tally.plus(part), batches + 1
            if batches % _JOURNAL_BATCHES == 0:
                output.note(batches, tally)
            watch(records.done(), records.total, tally)
        # The lock on the partial files holds: what exists by now is not of another run that is still at work.
        if not request.force and (late := existing(request.output, request.errors)):
            raise SettingsError(tuple(f"{each}, with --resume" for each in late))
        output.publish()
    return msgspec.structs.replace(tally, missing=dict(records.missing), blank_rows=records.blank_rows)


def _of_one_coding(parts: Iterator[Part], request: Request, output: Output) -> Iterator[Part]:
    """Pass on what comes of each batch, until the file shows another coding: then discard all, and raise DataError.

    What goes to standard output cannot be taken back: the first records are held until enough of them were seen.
    """
    window, seen, held = SourceWindow(), 0, deque[Part]()
    for part in parts:
        seen += part.scored + len(part.rejected)
        if window.note(part.evidence):
            output.discard()
            raise refuse_foreign("standard input" if request.source == PIPE else str(request.source), seen)
        if request.output == PIPE and request.coding is None and seen < HELD_RECORDS:
            held.append(msgspec.structs.replace(part, content=bytes(part.content)))
            continue
        while held:
            yield held.popleft()
        yield part
    yield from held


def _scored(
    request: Request, batches: Iterator[object], scorer: Scorer, closing: ExitStack
) -> tuple[Iterator[Part], Pack]:
    """Return what comes of each batch, and how that is yet to be packed when it is written."""
    pack = as_it_is if request.output == PIPE else compressor(compression_of(request.output))
    # What comes through a pipe may come slowly, and is to be scored at once. scikit-learn's threads survive no fork.
    if request.processes > 1 and request.source != PIPE and scorer.engine != SklearnEngine.name:
        first = [*islice(batches, 2)]
        batches = chain(first, batches)
        if len(first) > 1:
            crew = Crew(lambda batch: _part(batch, scorer, request.coding, pack), request.processes, closing)
            return crew.score(batches), as_it_is
    return (_part(batch, scorer, request.coding, as_it_is) for batch in batches), pack


def _part(batch: object, scorer: Scorer, coding: str | None, pack: Pack) -> Part:
    lines = score_batch(batch, scorer, coding)
    return Part(pack(lines.scores), lines.scored, lines.rejected, lines.evidence)


def score_batch(batch: object, scorer: Scorer, coding: str | None = None) -> Lines:
    """Score a batch of either kind; `coding` is that of its file, where one was named. Raises ArtifactError."""
    if isinstance(batch, list):
        return process_lines(batch, scorer, coding)
    from heartstream.files.columns import columns_of  # noqa: PLC0415  # pyarrow, where it is needed

    return process_columns(columns_of(batch, coding), scorer)


def _start(request: Request, kind: Format, scorer: Scorer) -> Journal | None:
    """Return where to begin; None where no journal can be kept."""
    if PIPE in {request.source, request.output}:
        return None
    with readable(request.source):
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
    """Raise SettingsError where the input or results of an earlier run would be lost, or cannot be gone on with."""
    if request.resume and PIPE in {request.source, request.output}:
        raise SettingsError(("--resume needs files: a pipe cannot be read again",))
    if request.errors == PIPE:
        raise SettingsError(("--errors needs a file of its own",))
    problems = target_problems(request.source, request.output, request.errors)
    if not request.force:
        files = finals(request.output, request.errors)
        problems += existing(request.output, request.errors)
        if not request.resume and any(partial_of(path).exists() for path in files):
            problems.append(
                f"{request.output} was begun by a run that did not end: --resume goes on, --force begins anew"
            )
    if problems:
        raise SettingsError(tuple(problems))
