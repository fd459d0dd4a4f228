"""`heartstream verify`: prove old scores."""

from __future__ import annotations

import sys
from pathlib import Path

from heartstream.cli.options import Count, Flag
from heartstream.terminal.exit_codes import BAD_DATA, BAD_USAGE, errors_to_exit_codes


def verify(
    *,
    models: Path | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: Count | None = None,
    json: Flag = False,
) -> None:
    """Prove old scores: read each one's record again, score it with the model that the score names, compare the bytes.

    A score names its record (source) and its model (digest). What the model makes of the record now must be the score,
    byte for byte. Standard output gets what is not proved, without a patient's value or id, standard error the counts.
    Reads the topics that HEARTSTREAM_TOPICS__* name, takes part in no group, and changes nothing.

    Example: heartstream verify --models models --since 2h

    Exit codes: 0 nothing speaks against any score; 2 bad arguments; 65 a score differs, its record is another one, or a
    model is refused; 69 no broker, or no such topic; 78 bad settings; 130 interrupted.

    Args:
        models: A model directory or a folder of them, as a model store; HEARTSTREAM_MODEL__PATH if it is left out.
        since: Only scores from this time on: 2026-01-31T12:00 (UTC), or an age: 30m, 12h, 2d.
        until: Only scores before this time.
        limit: Stop after this many scores.
        json: Print a JSON object a line for each score that is not proved.
    """
    with errors_to_exit_codes():
        from heartstream.operations.dlq.filters import RecordRange  # noqa: PLC0415  # --help should not wait for Faust
        from heartstream.operations.verify import run  # noqa: PLC0415  # --help should not wait for Faust

        try:
            chosen = RecordRange.of(since, until, limit)
        except ValueError as error:
            sys.stderr.write(f"heartstream: {error}\n")
            raise SystemExit(BAD_USAGE) from None
        if not run.verify(models, chosen, as_json=json):
            raise SystemExit(BAD_DATA)
