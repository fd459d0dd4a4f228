"""`heartstream replay`: score past records again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from heartstream.cli.options import Count, Flag, record_range
from heartstream.terminal.exit_codes import errors_to_exit_codes


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
    """Score past records of the patients topic again, with the current or another model, into a separate topic.

    Does not affect the workers' consumer group, scores or dead letters. A score has the key of its record, and its
    source names the record. Rejected records are counted by code; they already have dead letters. After an
    interruption, the next run sends the same scores again, with the same source.

    Example: heartstream replay --from 2026-11-01 --until 2026-11-08 --to-topic scores.replay --model models/current

    Exit codes: 0 every record is accounted for; 2 invalid arguments; 65 model refused; 69 no broker or no such topic;
    78 invalid settings, or a topic that the stream uses; 130 interrupted.

    Args:
        to_topic: The topic for the scores; it must exist, and the stream must not use it.
        since: Only records from this time on: 2026-01-31T12:00 (UTC), or an age: 30m, 12h, 2d.
        until: Only records before this time. Records without a timestamp are selected by their position.
        limit: Stop after this many records.
        model: The model directory, in place of HEARTSTREAM_MODEL__PATH.
        name: One of its models, in place of HEARTSTREAM_MODEL__NAME.
        dry_run: Print the number of records, and send nothing.
    """
    with errors_to_exit_codes():
        from heartstream.operations.replay import replay as run  # noqa: PLC0415  # --help should not wait for Faust

        run(to_topic, record_range(since, until, limit), model, name, dry_run=dry_run)
