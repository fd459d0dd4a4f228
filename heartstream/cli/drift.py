"""`heartstream drift`: records against the training patients."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from heartstream.cli.options import DEFAULT_READ_OPTIONS, CodingName, Count, FileOptions, Flag
from heartstream.files.formats import Format
from heartstream.files.notes import print_notes
from heartstream.terminal.exit_codes import FAILED, errors_to_exit_codes
from schemas.errors import SettingsError
from schemas.reading import ReadOptions

if TYPE_CHECKING:
    from heartstream.monitoring.drift.counting import Counted
    from scoring.artifact import Artifact


def drift(  # noqa: PLR0913  # a command's options
    source: Annotated[Path | None, Parameter(allow_leading_hyphen=True)] = None,
    /,
    *,
    topic: Count | None = None,
    report: Annotated[Path | None, Parameter(alias="-o")] = None,
    format: Format | None = None,  # noqa: A002  # the option's name
    coding: CodingName | None = None,
    model: Path | None = None,
    name: str | None = None,
    json: Flag = False,
    fail_on_drift: Flag = False,
    options: FileOptions = DEFAULT_READ_OPTIONS,
) -> None:
    """Compare records with the training patients of the model: of a file, or the last of the patients topic.

    Prints for each field PSI, how much more often it is missing, and how much lies out of range; writes a report, one
    HTML file without patients' ids or values. Is in no consumer group. Says nothing of whether risks are right:
    heartstream outcomes does. More in docs/drift.md.

    Example: heartstream drift patients.parquet -o drift.html

    Example: heartstream drift excel.csv --row-ids --ignore-extra

    Exit codes: 0 compared; 1 drift was found, with --fail-on-drift; 65 the file or the model is refused; 69 a file or
    the broker cannot be read, or the report not written; 78 bad settings; 130 interrupted.

    Args:
        source: The file to read, CSV, NDJSON or Parquet; "-" is standard input.
        topic: Instead of a file: so many of the last records of the patients topic.
        report: Where to write the report.
        format: The format of the file, where its name does not tell.
        coding: The coding of all records that name none themselves: docs/formats.md lists them.
        model: The model directory, instead of HEARTSTREAM_MODEL__PATH.
        name: One of its models, instead of HEARTSTREAM_MODEL__NAME.
        json: Print JSON.
        fail_on_drift: Exit with 1 where anything differs much.
        options: How the file is written, as for heartstream score.
    """
    with errors_to_exit_codes():
        from heartstream.monitoring.drift import render  # noqa: PLC0415  # --help should not wait for numpy
        from heartstream.monitoring.drift.html_report import write  # noqa: PLC0415  # the same
        from heartstream.monitoring.drift.verdict import Verdict  # noqa: PLC0415  # the same
        from runtime.settings import Settings  # noqa: PLC0415  # the same
        from scoring.artifact import load  # noqa: PLC0415  # the same

        settings = Settings.from_mapping(os.environ)
        folder, chosen = model or Path(settings.model.path), name or settings.model.name or None
        counted = _count(load(folder, chosen, settings.model.key()), source, topic, format, coding, options)
        verdict = Verdict.of(counted.model, counted.drift)
        if report is not None:
            write(counted, verdict, settings.topics.patients if source is None else source.name, report)
        sys.stdout.write(render.as_json(counted, verdict).decode() if json else render.told(counted, verdict))
        if fail_on_drift and verdict.drifts:
            raise SystemExit(FAILED)


def _count(  # a command's options
    artifact: Artifact,
    source: Path | None,
    topic: int | None,
    named: Format | None,
    coding: str | None,
    options: ReadOptions,
) -> Counted:
    """Count what was asked for. Raises SettingsError where that is neither a file nor a topic, or both."""
    from heartstream.files.input_file import InputOptions  # noqa: PLC0415  # the same
    from heartstream.files.render import progress_bar  # noqa: PLC0415  # the same
    from heartstream.monitoring.drift.counting import count_file, count_topic  # noqa: PLC0415  # --help should not wait
    from runtime.settings import Settings  # noqa: PLC0415  # the same

    if (source is None) == (topic is None):
        raise SettingsError(("give a file, or --topic and a number of records",))
    if topic is not None:
        if options != DEFAULT_READ_OPTIONS:
            raise SettingsError(("how a file is written is for a file",))
        return count_topic(artifact, Settings.from_mapping(os.environ), topic, coding)
    if source is None:
        raise AssertionError("one of the two is given")
    with progress_bar() as watch:
        return count_file(artifact, source, named, watch, InputOptions(options, coding, print_notes))
