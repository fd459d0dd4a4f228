"""`heartstream explain`: why one record has its risk."""

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
    """Score one patient record and tell what moves its risk, how far it can be trusted, and what was not measured.

    The record is the JSON that the patients topic and `POST /predict` take. Nothing is sent anywhere or logged.

    Example: heartstream explain schemas/examples/patients/v1/accepted/complete.json

    Exit codes: 0 scored; 65 the record cannot be scored, or the model is refused; 69 the record cannot be read;
    78 bad settings.

    Args:
        record: File with one patient record; "-" is standard input.
        model: The model directory, instead of HEARTSTREAM_MODEL__PATH.
        name: One of its models, instead of HEARTSTREAM_MODEL__NAME.
        json: Print the score object with all 13 reasons instead.
    """
    with errors_to_exit_codes():
        from heartstream.reports.explanation import explained, read, refused  # noqa: PLC0415  # --help should not wait
        from schemas.errors import Fault  # noqa: PLC0415  # the same

        settings = load_settings().model
        folder, chosen = model or Path(settings.path), name or settings.name or None
        outcome = explained(read(record), folder, chosen, settings.key())
        if isinstance(outcome, tuple):
            faults: tuple[Fault, ...] = outcome
            sys.stderr.write(refused(faults))
            raise SystemExit(BAD_DATA)
        sys.stdout.write(outcome.as_json() if json else outcome.as_text(bars=sys.stdout.isatty()))
