"""`heartstream dlq`: list, show and redrive dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from heartstream.cli.options import CodingName, Count, Flag
from heartstream.terminal.exit_codes import errors_to_exit_codes
from schemas.errors import RejectionCode

if TYPE_CHECKING:
    from heartstream.operations.dlq.dead_letters import Selection

app = App(name="dlq", help="List, show and redrive dead letters.")


def _as_written(name: str) -> str:
    """Return a code as dead letters and metrics show it, so that it can be pasted; dashes work, too."""
    return name.lower().replace("-", "_")


@Parameter(name="*")
@dataclass(frozen=True)
class Filters:
    """Filters for dead letters.

    Attributes:
        code: Only dead letters with this error code; if repeated, with any of them.
        since: Only records from this time on, by their own timestamp: 2026-01-31T12:00 (UTC), or an age: 30m, 12h, 2d.
        until: Only records before this time. Either bound excludes records without a timestamp.
        key: Only records with this key.
        limit: Stop after this many dead letters.
    """

    code: Annotated[
        tuple[RejectionCode, ...], Parameter(negative="", show_default=False, name_transform=_as_written)
    ] = ()
    since: str | None = None
    until: str | None = None
    key: str | None = None
    limit: Count | None = None


_ALL: Final = Filters()


@app.command(name="list")
def list_letters(*, filters: Filters = _ALL, waiting: Flag = False, with_key: Flag = False, json: Flag = False) -> None:
    """List dead letters: position, time, source and all errors of each.

    Prints one line per dead letter to standard output (aligned on a terminal, tab-separated elsewhere), and counts by
    code to standard error. Never prints values, and keys, which may identify patients, only with --with-key. Reads the
    topic HEARTSTREAM_TOPICS__DEAD_LETTERS, and changes nothing.

    Example: heartstream dlq list --code foreign_code --since 2h

    Exit codes: 0 listed; 2 invalid arguments; 69 no broker or no such topic; 78 invalid settings; 130 interrupted.

    Args:
        filters: Which dead letters.
        waiting: Only dead letters that were not redriven.
        with_key: Print keys, too.
        json: Print one JSON object per line.
    """
    with errors_to_exit_codes():
        from heartstream.operations.dlq import commands  # noqa: PLC0415  # --help should not wait for Faust

        form = commands.ListOptions(waiting=waiting, limit=filters.limit, with_key=with_key, as_json=json)
        commands.list_letters(_selection(filters), form)


@app.command
def show(position: str, /, *, with_value: Flag = False, json: Flag = False) -> None:
    """Show one dead letter: its source, all its errors, and how often it was redriven.

    Key, value and headers may identify a patient: without --with-value, only their sizes and number are printed.

    Example: heartstream dlq show 2:17 --with-value

    Exit codes: 0 shown; 1 no dead letter at this position; 2 invalid arguments; 69 no broker or no such topic;
    78 invalid settings; 130 interrupted.

    Args:
        position: partition:offset on the dead letter topic, as `list` prints it.
        with_value: Print key, value and headers, too; unprintable characters are escaped.
        json: Print a JSON object; bytes that are not UTF-8 are in Base64.
    """
    with errors_to_exit_codes():
        from heartstream.operations.dlq import commands  # noqa: PLC0415  # --help should not wait for Faust

        commands.show(position, with_value=with_value, as_json=json)


@app.command
def redrive(
    *,
    filters: Filters = _ALL,
    coding: CodingName | None = None,
    model: Path | None = None,
    max_attempts: Count = 3,
    present_time: Flag = False,
    dry_run: Flag = False,
    yes: Flag = False,
) -> None:
    """Send dead letters back to the patients topic, to be scored again, with their key, value, headers and timestamp.

    Use it when the worker rejected valid records, or, with --coding, when a source did not name its coding, which is
    then added to each record. A dead letter is redriven once; if the record fails again, the new dead letter counts
    the attempts and names the first failure. The consumer group heartstream-redrive stores what was redriven. Run one
    redrive at a time, and start with a small --limit: a worker stops when most records are rejected. Asks for
    confirmation on a terminal.

    Example: heartstream dlq redrive --code model_failure --limit 10

    Exit codes: 0 done, skipped dead letters are in the summary; 1 declined, or a selection too fragmented to store;
    2 invalid arguments, or neither a terminal nor --yes; 65 model refused; 69 no broker or no such topic; 78 invalid
    settings, or no such coding; 130 interrupted (confirmed records are not sent again).

    Args:
        filters: Which dead letters.
        coding: The coding to add to these records, one of the model's feature table; docs/formats.md lists those of
            the built-in one.
        model: The model directory that has the table of --coding, in place of HEARTSTREAM_MODEL__PATH.
        max_attempts: Skip dead letters whose record was redriven this many times and failed again.
        present_time: Send records with the present time as their timestamp. Without it, records too old for the
            retention of the patients topic are skipped: the broker could delete them before they are read.
        dry_run: Print what would be sent, and send nothing.
        yes: Do not ask for confirmation.
    """
    with errors_to_exit_codes():
        from heartstream.operations.dlq import commands  # noqa: PLC0415  # --help should not wait for Faust

        form = commands.RedriveOptions(
            max_attempts, filters.limit, present_time=present_time, dry_run=dry_run, yes=yes, coding=coding, model=model
        )
        commands.redrive(_selection(filters), form)


def _selection(filters: Filters) -> Selection:
    from heartstream.operations.dlq import commands  # noqa: PLC0415  # --help should not wait for Faust

    return commands.read_selection(filters.code, filters.since, filters.until, filters.key)
