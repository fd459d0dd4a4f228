"""`heartstream compare`: compare the scores of champion and challenger."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from heartstream.cli.options import DEFAULT_READ_OPTIONS, CodingName, Count, FileOptions, Flag
from heartstream.files.formats import Format
from heartstream.files.notes import print_notes
from heartstream.optional_deps import train_extra
from heartstream.terminal.exit_codes import errors_to_exit_codes
from schemas.errors import SettingsError
from schemas.read_options import ReadOptions

if TYPE_CHECKING:
    from heartstream.monitoring.compare.comparison import ComparisonResult
    from runtime.settings import Settings


def compare(  # noqa: PLR0913  # a command's options
    source: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    champion: Path | None = None,
    challenger: Path | None = None,
    report: Annotated[Path | None, Parameter(alias="-o")] = None,
    last: Count = 100_000,
    outcomes: Annotated[int, Parameter(validator=validators.Number(gte=0))] = 0,
    format: Format | None = None,  # noqa: A002  # the option's name
    coding: CodingName | None = None,
    json: Flag = False,
    options: FileOptions = DEFAULT_READ_OPTIONS,
) -> None:
    """Compare a challenger's risks with the champion's, on the live stream or on a file that both score.

    Without a file, joins the topics scores.shadow, which heartstream shadow writes, and scores by record, without a
    consumer group. Prints how many labels change and how much risks differ; with --outcomes, which model was more
    accurate. The report is one HTML file with charts, without patient ids or values. See docs/challenger.md.

    Example: heartstream compare patients.csv --challenger model-2 -o compare.html

    Example: heartstream compare excel.csv --challenger model-2 --row-ids --ignore-extra

    Exit codes: 0 compared; 65 file or model refused; 69 file, topic or broker unavailable, or report not writable;
    78 invalid settings; 130 interrupted.

    Args:
        source: The file to read, CSV, NDJSON or Parquet; "-" is standard input. If omitted, the topics are read.
        champion: For a file: the model directory, in place of HEARTSTREAM_MODEL__PATH.
        challenger: For a file: the other model directory, in place of HEARTSTREAM_CHALLENGER__PATH.
        report: Where to write the report.
        last: For topics: the number of the challenger's newest scores to keep in memory.
        outcomes: For topics: evaluate both models on this many of the newest known outcomes.
        format: The format of the file, if its name does not show it.
        coding: For a file: the coding of records that name none; docs/formats.md lists the codings.
        json: Print JSON.
        options: For a file: how to read it, as for heartstream score.
    """
    with errors_to_exit_codes():
        with train_extra():
            from heartstream.monitoring.compare import render  # noqa: PLC0415  # --help should not wait for numpy
        from runtime.settings import Settings  # noqa: PLC0415  # the same

        settings = Settings.from_mapping(os.environ)
        if source is not None:
            result = _of_file(settings, source, format, (coding, options), (champion, challenger))
        elif (champion, challenger, coding, options) != (None, None, None, DEFAULT_READ_OPTIONS):
            raise SettingsError(
                ("--champion, --challenger, --coding and reading options need a file: scores name their model",)
            )
        else:
            from heartstream.monitoring.compare.comparison import compare_topics  # noqa: PLC0415  # --help should not wait

            result = compare_topics(settings, last, outcomes)
        if report is not None:
            render.write(result, report)
        sys.stdout.write(render.render_json(result).decode() if json else render.render_text(result))


def _of_file(
    settings: Settings,
    source: Path,
    named: Format | None,
    written: tuple[str | None, ReadOptions],
    models: tuple[Path | None, Path | None],
) -> ComparisonResult:
    """Load champion and challenger as a worker does, and score the file with both."""
    from heartstream.files.input_file import InputOptions  # noqa: PLC0415  # the same
    from heartstream.files.render import progress_bar  # noqa: PLC0415  # the same
    from heartstream.monitoring.compare.comparison import compare_file  # noqa: PLC0415  # --help should not wait
    from scoring.model_artifact import load  # noqa: PLC0415  # the same

    (coding, options), (champion, challenger) = written, models
    if challenger is None and not settings.challenger.path:
        raise SettingsError(("give --challenger, or set HEARTSTREAM_CHALLENGER__PATH",))
    key = settings.model.key()
    first = load(champion or Path(settings.model.path), settings.model.name or None, key)
    second = load(challenger or Path(settings.challenger.path), settings.challenger.name or None, key)
    with progress_bar() as on_progress:
        return compare_file(first, second, source, named, on_progress, InputOptions(options, coding, print_notes))
