"""`heartstream replay`: score records of the past again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from heartstream.cli.options import Count, Flag
from heartstream.terminal.exit_codes import BAD_USAGE, errors_to_exit_codes


def replay(  # a command's options
    *,
    to_topic: str,
    since: Annotated[str | None, Parameter(alias="--from")] = None,
    until: str | None = None,
    limit: Count | None = None,
    model: Path | None = None,
    name: str | None = None,
    dry_run: Flag = False,
) -> None:
    """Score records of the patients topic again, with the model of today or another, into a topic of their own.

    The workers' group, the scores and the dead letters stay as they are. A score has its record's key, and its source
    says which record that was. A record that cannot be scored is counted by its code: its dead letter is there already.
    What was sent before an interruption comes again in the next run, with the same source.

    Example: heartstream replay --from 2026-11-01 --until 2026-11-08 --to-topic scores.replay --model models/current

    Exit codes: 0 every record is accounted for; 2 bad arguments; 65 the model is refused; 69 no broker, or no such
    topic; 78 bad settings, or a topic of the stream; 130 interrupted.

    Args:
        to_topic: Where the scores go: a topic that is there already, and is none of the stream's own.
        since: Only records from this time on: 2026-01-31T12:00 (UTC), or an age: 30m, 12h, 2d.
        until: Only records before this time. Records without a timestamp count to where they stand on the topic.
        limit: Stop after this many records.
        model: The model directory, instead of HEARTSTREAM_MODEL__PATH.
        name: One of its models, instead of HEARTSTREAM_MODEL__NAME.
        dry_run: Say how many records there are, and send nothing.
    """
    with errors_to_exit_codes():
        from heartstream.operations.dlq.filters import RecordRange  # noqa: PLC0415  # --help should not wait for Faust
        from heartstream.operations.replay import replay as run  # noqa: PLC0415  # --help should not wait for Faust

        try:
            chosen = RecordRange.of(since, until, limit)
        except ValueError as error:
            sys.stderr.write(f"heartstream: {error}\n")
            raise SystemExit(BAD_USAGE) from None
        run(to_topic, chosen, model, name, dry_run=dry_run)
