"""`heartstream explain`: explain the risk of one record."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from heartstream.cli.configuration import load_settings
from heartstream.cli.options import Flag
from heartstream.terminal.exit_codes import BAD_DATA, errors_to_exit_codes


def explain(
    record: Annotated[Path, Parameter(allow_leading_hyphen=True)] = Path("-"),
    /,
    *,
    model: Path | None = None,
    name: str | None = None,
    json: Flag = False,
) -> None:
    """Score one patient record and explain the risk: what raises and lowers it, its uncertainty, and missing fields.

    The record is JSON, as on the patients topic and for `POST /predict`. Nothing is sent or logged.

    Example: heartstream explain schemas/examples/patients/v1/accepted/complete.json

    Exit codes: 0 scored; 65 record rejected, or model refused; 69 record not readable; 78 invalid settings.

    Args:
        record: File with one patient record; "-" is standard input.
        model: The model directory, in place of HEARTSTREAM_MODEL__PATH.
        name: One of its models, in place of HEARTSTREAM_MODEL__NAME.
        json: Print the score as JSON, with all 13 reasons.
    """
    with errors_to_exit_codes():
        from heartstream.reports.explanation import explain_record, read, rejection_text  # noqa: PLC0415  # --help should not wait
        from schemas.errors import ValidationIssue  # noqa: PLC0415  # the same

        settings = load_settings().model
        folder, chosen = model or Path(settings.path), name or settings.name or None
        outcome = explain_record(read(record), folder, chosen, settings.key())
        if isinstance(outcome, tuple):
            issues: tuple[ValidationIssue, ...] = outcome
            sys.stderr.write(rejection_text(issues))
            raise SystemExit(BAD_DATA)
        sys.stdout.write(outcome.as_json() if json else outcome.as_text(bars=sys.stdout.isatty()))
