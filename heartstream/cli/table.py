"""`heartstream table`: check a feature table, and draft one."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from heartstream.cli.options import DEFAULT_TEXT_OPTIONS, Flag, LabelledOptions
from heartstream.terminal.exit_codes import BAD_DATA, errors_to_exit_codes
from heartstream.terminal.printable import printable
from schemas.errors import SettingsError

_PIPE: Final = Path("-")
_DEFAULT_NAME: Final = "my-table"

app = App(name="table", help="Check a feature table, and draft one from labelled data.")


@app.command
def check(table: Annotated[Path, Parameter(allow_leading_hyphen=True)], /) -> None:
    """Check a feature table: print every problem with its line, or a summary if there is none.

    A feature table is a TOML file that describes the fields of a patient record and the outcome, for data other than
    UCI Heart Disease. See docs/feature-table.md.

    Example: heartstream table check table.toml

    Exit codes: 0 valid; 65 some problems; 69 the file cannot be read.

    Args:
        table: The file; "-" is standard input.
    """
    with errors_to_exit_codes():
        from heartstream.tables.summary import summary  # noqa: PLC0415  # --help should not wait
        from schemas.tables.builtin import refuse_builtin_name  # noqa: PLC0415  # the same
        from schemas.tables.toml_file import InvalidTableError, read_table  # noqa: PLC0415  # the same

        content = sys.stdin.buffer.read() if table == _PIPE else table.read_bytes()
        try:
            found = read_table(content, str(table))
            refuse_builtin_name(found)
        except InvalidTableError as error:
            count = len(error.problems)
            problems = "".join(f"{problem}\n" for problem in error.problems)
            total = f"heartstream: {table} has {count} problem{'' if count == 1 else 's'}\n"
            sys.stderr.write(printable(problems + total))
            raise SystemExit(BAD_DATA) from None
        sys.stdout.write(printable(summary(found, content.decode())))


@app.command
def init(
    data: Annotated[Path, Parameter(allow_leading_hyphen=True)],
    /,
    *,
    outcome: str | None = None,
    id_column: str | None = None,
    output: Annotated[Path | None, Parameter(name=("--output", "-o"))] = None,
    name: str | None = None,
    force: Flag = False,
    options: LabelledOptions = DEFAULT_TEXT_OPTIONS,
) -> None:
    """Draft a feature table from a CSV of labelled patients with a header.

    Kinds, codes, limits and required fields are those that the data show; the draft is valid, and contains no patient's
    row. Its TODO comments say what only a person can know: meanings, units, limits, the population, which outcome is
    positive, and whether numbers such as -9 mean "not measured", which is never assumed. It names the columns that it
    left out: ids, dates, free text, constants.

    Example: heartstream table init patients.csv --outcome died -o table.toml && heartstream table check table.toml

    Exit codes: 0 drafted; 65 data refused; 69 a file cannot be read or written; 78 invalid settings, or the output file
    exists.

    Args:
        data: The labelled patients; "-" is standard input.
        outcome: The outcome's column; by default one with a usual name, such as outcome, target or died.
        id_column: The column of patient ids, which is left out.
        output: The file to write; by default standard output.
        name: The table's name: lower-case letters, digits and hyphens; by default the file's.
        force: Replace an existing file.
        options: How to read the file, as for heartstream score.
    """
    with errors_to_exit_codes():
        from heartstream.tables.draft import draft_table  # noqa: PLC0415  # --help should not wait
        from heartstream.tables.labelled_file import read_columns  # noqa: PLC0415  # the same
        from heartstream.tables.summary import todo_count  # noqa: PLC0415  # the same
        from schemas.tables.checks import TABLE_NAME  # noqa: PLC0415  # the same

        if name is not None and not TABLE_NAME.fullmatch(name):
            raise SettingsError(("--name must be lower-case letters, digits and hyphens, beginning with a letter",))
        file = read_columns(data, options)
        source = "standard input" if data == _PIPE else data.name
        draft = draft_table(file, source, name=name or _named(data), outcome=outcome, id_column=id_column)
        if output is None:
            sys.stdout.write(draft.text)
        else:
            _write(output, draft.text, force=force)
        unused = f", {len(draft.unused)} column(s) left out" if draft.unused else ""
        sys.stderr.write(f"heartstream: {draft.fields} fields{unused}; {todo_count(draft.text)} comments with TODO\n")


def _named(data: Path) -> str:
    """Return the file's name as that of a table."""
    words = re.sub(r"[^a-z0-9]+", "-", data.name.split(".")[0].lower()).strip("-")
    return re.sub(r"^[^a-z]+", "", words)[:40].rstrip("-") or _DEFAULT_NAME


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SettingsError((f"{output} exists: --force replaces it",)) from None
