"""`heartstream verify`: verify stored scores."""

from __future__ import annotations

from pathlib import Path

from heartstream.cli.options import Count, Flag, record_range
from heartstream.terminal.exit_codes import BAD_DATA, errors_to_exit_codes


def verify(
    *,
    models: Path | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: Count | None = None,
    json: Flag = False,
) -> None:
    """Verify stored scores: read the record of each score, score it again with the same model, and compare the bytes.

    A score names its record (source) and its model (digest). The same model must give the same score for the record,
    byte for byte. Prints scores that are not verified, without patient values or ids, to standard output, and counts to
    standard error. Reads the topics of HEARTSTREAM_TOPICS__*, uses no consumer group, and changes nothing.

    Example: heartstream verify --models models --since 2h

    Exit codes: 0 no score is contradicted; 2 invalid arguments; 65 a score differs, its record has changed, or a model
    is refused; 69 no broker or no such topic; 78 invalid settings; 130 interrupted.

    Args:
        models: A model directory, or a folder of them such as a model store; by default HEARTSTREAM_MODEL__PATH.
        since: Only scores from this time on: 2026-01-31T12:00 (UTC), or an age: 30m, 12h, 2d.
        until: Only scores before this time.
        limit: Stop after this many scores.
        json: Print one JSON object per score that is not verified.
    """
    with errors_to_exit_codes():
        from heartstream.operations.verify import run  # noqa: PLC0415  # --help should not wait for Faust

        if not run.verify(models, record_range(since, until, limit), as_json=json):
            raise SystemExit(BAD_DATA)
