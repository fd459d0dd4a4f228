"""`heartstream dlq`: list, show and redrive dead letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import App, Parameter

from heartstream.cli.options import CodingName, Count, Flag
from heartstream.terminal.exit_codes import errors_to_exit_codes
from schemas.errors import FaultCode

if TYPE_CHECKING:
    from heartstream.operations.dlq.dead_letters import Selection

app = App(name="dlq", help="Work with dead letters: list them, show one, send them back.")


def _as_written(name: str) -> str:
    """Return a code as letters and metrics have it, so that what is read there can be pasted; dashes do as well."""
    return name.lower().replace("-", "_")


@Parameter(name="*")
@dataclass(frozen=True)
class Filters:
    """Which letters are wanted.

    Attributes:
        code: Only letters with this code, or, if given more than once, any of these.
        since: Only records from this time on, by their own timestamp: 2026-01-31T12:00 (UTC), or an age: 30m, 12h, 2d.
        until: Only records before this time. Records without a timestamp are left out with either bound.
        key: Only records with this key.
        limit: Stop after this many letters.
    """

    code: Annotated[tuple[FaultCode, ...], Parameter(negative="", show_default=False, name_transform=_as_written)] = ()
    since: str | None = None
    until: str | None = None
    key: str | None = None
    limit: Count | None = None


_ALL: Final = Filters()


@app.command(name="list")
def list_letters(*, filters: Filters = _ALL, waiting: Flag = False, with_key: Flag = False, json: Flag = False) -> None:
    """List the dead letters: where each stands and came from, when, and all that is wrong with it.

    Standard output gets one line a letter (aligned on a terminal, with tabs elsewhere), standard error the number of
    letters by code. Prints no value, and no key unless asked to: a key may name a patient. Reads the topic that
    HEARTSTREAM_TOPICS__DEAD_LETTERS names, and changes nothing.

    Example: heartstream dlq list --code foreign_code --since 2h

    Exit codes: 0 listed; 2 bad arguments; 69 no broker, or no such topic; 78 bad settings; 130 interrupted.

    Args:
        filters: Which letters.
        waiting: Only letters that were not redriven.
        with_key: Print the keys too.
        json: Print a JSON object a line.
    """
    with errors_to_exit_codes():
        from heartstream.operations.dlq import commands  # noqa: PLC0415  # --help should not wait for Faust

        form = commands.ListOptions(waiting=waiting, limit=filters.limit, with_key=with_key, as_json=json)
        commands.list_letters(_selection(filters), form)


@app.command
def show(position: str, /, *, with_value: Flag = False, json: Flag = False) -> None:
    """Show one dead letter: its source, everything that is wrong with it, and how often it was redriven.

    What the producer sent (key, value, values of headers) may name a patient: it is printed only if asked for, and of
    the rest only sizes and names.

    Example: heartstream dlq show 2:17 --with-value

    Exit codes: 0 shown; 1 no letter stands there; 2 bad arguments; 69 no broker, or no such topic; 78 bad settings;
    130 interrupted.

    Args:
        position: partition:offset on the dead letter topic, as `list` shows it.
        with_value: Print key, value and headers too, with escapes for what is not printable.
        json: Print a JSON object; what is not UTF-8 in Base64.
    """
    with errors_to_exit_codes():
        from heartstream.operations.dlq import commands  # noqa: PLC0415  # --help should not wait for Faust

        commands.show(position, with_value=with_value, as_json=json)


@app.command
def redrive(
    *,
    filters: Filters = _ALL,
    coding: CodingName | None = None,
    max_attempts: Count = 3,
    present_time: Flag = False,
    dry_run: Flag = False,
    yes: Flag = False,
) -> None:
    """Send dead letters back to the patients topic, to be scored again: key, value, headers and timestamp as they were.

    For when the records were right and the worker was not, as after a mended deploy; or, with --coding, for records of
    a source whose coding was not named: it is added to each, and nothing else of it changes. A letter is redriven once;
    if the record fails again, that makes a new letter, which counts the attempts and knows where it failed first. The
    group heartstream-redrive keeps in mind what was redriven. Run one redrive at a time, and begin with a small
    --limit: a worker stops when most of what it reads is rejected. On a terminal it asks before it sends.

    Example: heartstream dlq redrive --code model_failure --limit 10

    Exit codes: 0 done, with what was left and why in the summary; 1 declined, or a selection too scattered to keep in
    mind; 2 bad arguments, or no terminal to ask on and no --yes; 69 no broker, or no such topic; 78 bad settings;
    130 interrupted (what was confirmed is not repeated).

    Args:
        filters: Which letters.
        coding: The coding that these records are in, to be named in each: docs/formats.md lists them.
        max_attempts: Leave letters whose record was redriven this many times and failed again.
        present_time: Give the records the present time in place of their own. Records older than the patients topic
            keeps them are left without it, for the broker could delete them before a worker reads them.
        dry_run: Say what would be sent, and send nothing.
        yes: Do not ask.
    """
    with errors_to_exit_codes():
        from heartstream.operations.dlq import commands  # noqa: PLC0415  # --help should not wait for Faust

        form = commands.RedriveOptions(
            max_attempts, filters.limit, present_time=present_time, dry_run=dry_run, yes=yes, coding=coding
        )
        commands.redrive(_selection(filters), form)


def _selection(filters: Filters) -> Selection:
    from heartstream.operations.dlq import commands  # noqa: PLC0415  # --help should not wait for Faust

    return commands.read_selection(filters.code, filters.since, filters.until, filters.key)
