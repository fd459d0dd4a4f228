"""`heartstream score`: score a file of patient records."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from heartstream.cli.options import DEFAULT_READ_OPTIONS, CodingName, FileOptions, Flag
from heartstream.files.formats import PIPE, Format
from heartstream.files.notes import print_notes
from heartstream.terminal.exit_codes import BAD_DATA, INTERRUPTED, errors_to_exit_codes

MAX_PROCESSES: Final = 32
_DEFAULT_PROCESSES: Final = 2 if sys.platform == "linux" else 1
"""With two, ten million rows need less than 300 MB; each further one needs about 50 MB. Fork is safe on Linux only."""


def score(  # noqa: PLR0913  # a command's options
    source: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o", allow_leading_hyphen=True)],
    errors: Path | None = None,
    format: Format | None = None,  # noqa: A002  # the option's name
    coding: CodingName | None = None,
    model: Path | None = None,
    name: str | None = None,
    resume: Flag = False,
    force: Flag = False,
    processes: Annotated[int | None, Parameter(validator=Number(gte=1, lte=MAX_PROCESSES))] = None,
    options: FileOptions = DEFAULT_READ_OPTIONS,
) -> None:
    """Score a file of patient records: reads CSV, NDJSON or Parquet, writes one JSON score per line.

    Scores have the same bytes as on the scores topic, except for the source, which is null. Rejected rows go to an
    errors file, with the error codes of dead letters. A file that shows another coding than UCI's is refused as a
    whole, and nothing is written. Names ending in .gz or .zst mean compressed files. The dialect of a CSV is detected
    and printed before the first row; if it is not detected, the file is refused, naming the option to set.
    Configured by HEARTSTREAM_MODEL__* and HEARTSTREAM_SCORE__*. See docs/files.md.

    Example: heartstream score patients.parquet -o scores.ndjson

    Example: heartstream score excel.csv -o scores.ndjson --id-column id --ignore-columns "target,notes"

    Example: heartstream score old.csv -o scores.ndjson --encoding cp1252 --na-values=-99,unknown --row-ids

    Exit codes: 0 all rows scored; 65 some rows rejected, or file or model refused; 69 a file cannot be read or
    written; 78 invalid settings, or an output file exists; 130 interrupted (--resume continues).

    Args:
        source: The file to read; "-" is standard input.
        output: The file to write; "-" is standard output.
        errors: The file for rejected rows, one per line; by default OUTPUT.errors.ndjson.
        format: The format of the file, if its name does not show it.
        coding: The coding of records that name none; docs/formats.md lists the codings.
        model: The model directory, in place of HEARTSTREAM_MODEL__PATH.
        name: One of its models, in place of HEARTSTREAM_MODEL__NAME.
        resume: Continue an interrupted run of the same file.
        force: Replace existing files.
        processes: The number of scoring processes beside the one that reads and writes, 1 to 32; with 1, that one
            scores, too. By default the number of available processors, at most 2. Standard input, and a model that
            runs on scikit-learn, are scored by 1.
        options: How to read the file.
    """
    with errors_to_exit_codes():
        from heartstream.files.render import Throughput, progress_bar, summary  # noqa: PLC0415  # the same
        from heartstream.files.score import Request, score_file  # noqa: PLC0415  # --help should not wait for numpy
        from runtime.cpu_count import usable_cpus  # noqa: PLC0415  # the same
        from runtime.gc_tuning import tune_gc  # noqa: PLC0415  # the same
        from runtime.settings import Settings  # noqa: PLC0415  # the same
        from scoring.scorer import Scorer  # noqa: PLC0415  # the same

        settings = Settings.from_mapping(os.environ)
        if errors is None and output != PIPE:
            errors = output.with_name(f"{output.name}.errors.ndjson")
        folder, chosen = model or Path(settings.model.path), name or settings.model.name or None
        key, native = settings.model.key(), settings.model.native
        scorer = Scorer.from_directory(folder, chosen, settings.score, key, native=native)
        tune_gc()
        count = processes or min(usable_cpus(), _DEFAULT_PROCESSES)
        request = Request(source, output, errors, format, resume, force, count, coding, options)
        try:
            throughput = Throughput()
            with progress_bar(throughput) as on_progress:
                found = score_file(request, scorer, on_progress, print_notes)
        except KeyboardInterrupt:
            resume_options = "--resume --force" if force else "--resume"
            hint = "" if PIPE in {source, output} else f"; {resume_options} continues"
            sys.stderr.write(f"heartstream: interrupted{hint}\n")
            raise SystemExit(INTERRUPTED) from None
        sys.stderr.write(f"heartstream: {summary(found, throughput.rows_per_s(found))}\n")
        if found.rejected:
            raise SystemExit(BAD_DATA)
