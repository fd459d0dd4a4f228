"""`heartstream drift`: compare records with the training patients."""

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
from schemas.read_options import ReadOptions

if TYPE_CHECKING:
    from heartstream.monitoring.drift.counting import DriftCounts
    from scoring.model_artifact import Artifact


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
    """Compare records with the model's training patients: from a file, or the newest of the patients topic.

    Prints for each field the PSI, the change in missing values, and the share out of range; writes a report, one HTML
    file without patient ids or values. Uses no consumer group. Drift does not show whether risks are accurate:
    heartstream outcomes does. See docs/drift.md.

    Example: heartstream drift patients.parquet -o drift.html

    Example: heartstream drift excel.csv --row-ids --ignore-extra

    Exit codes: 0 compared; 1 drift found, with --fail-on-drift; 65 file or model refused; 69 file or broker
    unavailable, or report not writable; 78 invalid settings; 130 interrupted.

    Args:
        source: The file to read, CSV, NDJSON or Parquet; "-" is standard input.
        topic: In place of a file: this many of the newest records of the patients topic.
        report: Where to write the report.
        format: The format of the file, if its name does not show it.
        coding: The coding of records that name none; docs/formats.md lists the codings.
        model: The model directory, in place of HEARTSTREAM_MODEL__PATH.
        name: One of its models, in place of HEARTSTREAM_MODEL__NAME.
        json: Print JSON.
        fail_on_drift: Exit with 1 if anything exceeds a drift limit.
        options: How to read the file, as for heartstream score.
    """
    with errors_to_exit_codes():
        from heartstream.monitoring.drift import render  # noqa: PLC0415  # --help should not wait for numpy
        from heartstream.monitoring.drift.html_report import write  # noqa: PLC0415  # the same
        from heartstream.monitoring.drift.verdict import Verdict  # noqa: PLC0415  # the same
        from runtime.settings import Settings  # noqa: PLC0415  # the same
        from scoring.model_artifact import load  # noqa: PLC0415  # the same

        settings = Settings.from_mapping(os.environ)
        folder, chosen = model or Path(settings.model.path), name or settings.model.name or None
        counts = _count(load(folder, chosen, settings.model.key()), source, topic, format, coding, options)
        verdict = Verdict.of(counts.model, counts.drift)
        if report is not None:
            write(counts, verdict, settings.topics.patients if source is None else source.name, report)
        sys.stdout.write(render.render_json(counts, verdict).decode() if json else render.render_text(counts, verdict))
        if fail_on_drift and verdict.drifts:
            raise SystemExit(FAILED)


def _count(  # a command's options
    artifact: Artifact,
    source: Path | None,
    topic: int | None,
    named: Format | None,
    coding: str | None,
    options: ReadOptions,
) -> DriftCounts:
    """Count the records of the file or topic. Raises SettingsError unless exactly one is given."""
    from heartstream.files.input_file import InputOptions  # noqa: PLC0415  # the same
    from heartstream.files.render import progress_bar  # noqa: PLC0415  # the same
    from heartstream.monitoring.drift.counting import count_file, count_topic  # noqa: PLC0415  # --help should not wait
    from runtime.settings import Settings  # noqa: PLC0415  # the same

    if (source is None) == (topic is None):
        raise SettingsError(("give a file, or --topic and a number of records",))
    if topic is not None:
        if options != DEFAULT_READ_OPTIONS:
            raise SettingsError(("options of reading need a file",))
        return count_topic(artifact, Settings.from_mapping(os.environ), topic, coding)
    if source is None:
        raise AssertionError("one of the two is given")
    with progress_bar() as on_progress:
        return count_file(artifact, source, named, on_progress, InputOptions(options, coding, print_notes))
