"""Scoring one file: read, score, write, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from heartstream.score.formats import PIPE, Format, format_of
from heartstream.score.reading import open_records, readable
from heartstream.score.tally import Tally
from heartstream.score.writing import Job, Journal, Output, partial_of, read_journal
from schemas.errors import SettingsError
from schemas.records import Details
from scoring.pipeline import Lines, process_columns, process_lines
from scoring.scorer import Scorer

Watch = Callable[[int, int | None, Tally], None]
"""Told after each batch how much of the input is done, of how much (None: not known), and what became of it."""

_JOURNAL_BATCHES: Final = 16
"""A quarter of a million rows: less than a second's work."""


class Request(msgspec.Struct, frozen=True):
    """What is to be scored, and where results go. Without `errors`, rejected rows are only counted."""

    source: Path
    output: Path
    errors: Path | None = None
    format: Format | None = None
    resume: bool = False
    force: bool = False


def score_file(request: Request, scorer: Scorer, watch: Watch) -> Tally:
    """Score a file. Raises SettingsError, DataError, DependencyError and ArtifactError.

    Whatever happens, a file under a final name is complete.
    """
    kind = format_of(request.source, request.format)
    _refuse_overwriting(request)
    with ExitStack() as closing:
        records = open_records(request.source, kind, closing)
        start = _start(request, kind, scorer)
        output = Output(request.output, request.errors, start, closing)
        batches, tally = (start.batches, start.tally) if start else (0, Tally())
        output.note(batches, tally)
        for lines in _scored(islice(records.batches(), batches, None), scorer):
            output.scores.write(lines.scores)
            output.errors.write(tally.error_lines(lines))
            tally, batches = tally.plus(lines), batches + 1
            if batches % _JOURNAL_BATCHES == 0:
                output.note(batches, tally)
            watch(records.done(), records.total, tally)
        output.publish()
    return tally


def _scored(batches: Iterator[object], scorer: Scorer) -> Iterator[Lines]:
    for batch in batches:
        yield score_batch(batch, scorer)


def score_batch(batch: object, scorer: Scorer) -> Lines:
    """Score a batch of either kind. Raises ArtifactError."""
    if isinstance(batch, list):
        return process_lines(batch, scorer)
    from heartstream.score.columns import columns_of  # noqa: PLC0415  # pyarrow, where it is needed

    return process_columns(columns_of(batch), scorer)


def _start(request: Request, kind: Format, scorer: Scorer) -> Journal | None:
    """Return where to begin; None where no journal can be kept."""
    if PIPE in {request.source, request.output}:
        return None
    with readable(request.source):
        source = request.source.stat()
    details = msgspec.convert(scorer.details, Details, from_attributes=True)
    job = Job(source.st_size, source.st_mtime_ns, kind, scorer.model, scorer.engine, details)
    return read_journal(request.output, job) if request.resume else Journal(job)


def _refuse_overwriting(request: Request) -> None:
    """Raise SettingsError where results of an earlier run would be lost, or cannot be gone on with."""
    if request.resume and PIPE in {request.source, request.output}:
        raise SettingsError(("--resume needs files: a pipe cannot be read again",))
    if request.errors == PIPE or request.errors == request.output != PIPE:
        raise SettingsError(("--errors needs a file of its own",))
    if request.force:
        return
    files = [path for path in (request.output, request.errors) if path is not None and path != PIPE]
    problems = [f"{path} exists: --force replaces it" for path in files if path.exists()]
    if not request.resume and any(partial_of(path).exists() for path in files):
        problems.append(f"{request.output} was begun by a run that did not end: --resume goes on, --force begins anew")
    if problems:
        raise SettingsError(tuple(problems))
