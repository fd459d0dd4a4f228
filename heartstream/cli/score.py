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

MOST_PROCESSES: Final = 32
_UNASKED_PROCESSES: Final = 2 if sys.platform == "linux" else 1
"""With two, ten million rows take less than 300 MB; each more takes some 50. Elsewhere a fork is not sure to work."""


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
    processes: Annotated[int | None, Parameter(validator=Number(gte=1, lte=MOST_PROCESSES))] = None,
    options: FileOptions = DEFAULT_READ_OPTIONS,
) -> None:
    """Score a file of patient records: CSV, NDJSON or Parquet in, a score object a line out.

    A record's score has the same bytes as on the scores topic, but for its source, which is null. Rows that cannot be
    scored are told in a file of errors, with the codes of dead letters. A file that shows another coding of the data
    than UCI's is refused as a whole, and nothing is written. A name that ends in .gz or .zst is a compressed file.
    How a CSV is written is recognised, and said before the first row; what is not recognised is refused with the
    option that reads it.
    Configured by HEARTSTREAM_MODEL__* and HEARTSTREAM_SCORE__*. More in docs/files.md.

    Example: heartstream score patients.parquet -o scores.ndjson

    Example: heartstream score excel.csv -o scores.ndjson --id-column id --ignore-columns "target,notes"

    Example: heartstream score old.csv -o scores.ndjson --encoding cp1252 --na-values "-99,unknown" --row-ids

    Exit codes: 0 all rows are scored; 65 some were rejected, or the file or the model is refused; 69 a file cannot be
    read or written; 78 bad settings, or a file is in the way; 130 interrupted: --resume goes on.

    Args:
        source: The file to read; "-" is standard input.
        output: The file to write; "-" is standard output.
        errors: Where rejected rows are told, a line each; OUTPUT.errors.ndjson if it is left out.
        format: The format of the file, where its name does not tell.
        coding: The coding of all records that name none themselves: docs/formats.md lists them.
        model: The model directory, instead of HEARTSTREAM_MODEL__PATH.
        name: One of its models, instead of HEARTSTREAM_MODEL__NAME.
        resume: Go on where an interrupted run of the same file stopped.
        force: Replace files that are there.
        processes: How many score beside the one that reads and writes, 1 to 32; with 1 that one scores, too. If it is
            left out, as many as there are processors to use, 2 at most. Standard input, and a model that scikit-learn
            itself runs, are scored by 1.
        options: How the file is written.
    """
    with errors_to_exit_codes():
        from heartstream.files.render import Throughput, progress_bar, summary  # noqa: PLC0415  # the same
        from heartstream.files.score import Request, score_file  # noqa: PLC0415  # --help should not wait for numpy
        from runtime.collection import keep_collections_rare  # noqa: PLC0415  # the same
        from runtime.processors import usable_processors  # noqa: PLC0415  # the same
        from runtime.settings import Settings  # noqa: PLC0415  # the same
        from scoring.scorer import Scorer  # noqa: PLC0415  # the same

        settings = Settings.from_mapping(os.environ)
        if errors is None and output != PIPE:
            errors = output.with_name(f"{output.name}.errors.ndjson")
        folder, chosen = model or Path(settings.model.path), name or settings.model.name or None
        scorer = Scorer.from_directory(folder, chosen, settings.score, settings.model.key())
        keep_collections_rare()
        crew = processes or min(usable_processors(), _UNASKED_PROCESSES)
        request = Request(source, output, errors, format, resume, force, crew, coding, options)
        try:
            throughput = Throughput()
            with progress_bar(throughput) as watch:
                found = score_file(request, scorer, watch, print_notes)
        except KeyboardInterrupt:
            again = "--resume --force" if force else "--resume"
            hint = "" if PIPE in {source, output} else f"; {again} goes on"
            sys.stderr.write(f"heartstream: interrupted{hint}\n")
            raise SystemExit(INTERRUPTED) from None
        sys.stderr.write(f"heartstream: {summary(found, throughput.rows_per_s(found))}\n")
        if found.rejected:
            raise SystemExit(BAD_DATA)
