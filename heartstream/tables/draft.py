"""A draft of a feature table, from a labelled file: what the file shows, and comments on what only a person knows.

It contains no patient's row: its example has each field's median or commonest code, and limits are wider than the data.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from heartstream.tables.column_kinds import Drafted, Unused, kind_of
from heartstream.tables.labelled_file import Column, LabelledFile
from heartstream.tables.outcome_column import DraftedOutcome, find_outcome
from heartstream.terminal.printable import printable
from schemas.errors import DataError
from schemas.tables.checks import MOST_FEATURES, MOST_OPTIONAL, is_reserved
from schemas.tables.feature_table import PATIENT_ID
from schemas.tables.names import normalized, normalized_word

_LONGEST_NAME: Final = 40
_UNIT: Final = re.compile(r"(.+?)\s*[(\[]([^()\[\]=,]{1,20})[)\]]")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_-]+")
_UNKNOWN: Final = frozenset({"unknown", "unk", "missing", "notdone", "notmeasured", "notavailable", "nd", "-", "?"})


class Draft(msgspec.Struct, frozen=True):
    """The text of a draft, the number of its fields, and the columns that are none."""

    text: str
    fields: int
    unused: tuple[Unused, ...]


def draft_table(file: LabelledFile, source: str, *, name: str, outcome: str | None, id_column: str | None) -> Draft:
    """Draft the feature table of a file; `source` is the file's name. Raises DataError if nothing can be drafted."""
    chosen = find_outcome(file, outcome)
    fields: dict[str, Drafted] = {}
    unused: list[Unused] = []
    if id_column is not None and not any(_is_same(column.header, id_column) for column in file.columns):
        raise DataError("--id-column: no column has this name")
    for place, column in enumerate(file.columns, 1):
        if column is chosen.column:
            continue
        found = _unusable(column, id_column, fields) or kind_of(
            column, {cell: file.number(cell) for cell in column.cells}
        )
        if isinstance(found, Unused):
            unused.append(found)
        else:
            fields[_field_name(column.header, place, fields)] = found
    if not fields:
        raise DataError("none of its columns can be a field")
    blocks = [_head(file, source, name, unused), _outcome(chosen, file.rows), _population(), _example(fields)]
    required = _required(fields)
    blocks += [_feature(field, its, required) for field, its in fields.items()]
    return Draft("\n".join(blocks), len(fields), tuple(unused))


def _is_same(header: str, wanted: str) -> bool:
    return header == wanted or normalized(header) == normalized(wanted) != ""


def _unusable(column: Column, id_column: str | None, fields: dict[str, Drafted]) -> Unused | None:
    """Return why a column cannot be a field, whatever its values."""
    why = None
    taken = {normalized(each) for name, its in fields.items() for each in (name, its.column.header)}
    if id_column is not None and _is_same(column.header, id_column):
        why = "the patients' ids: read files with --id-column"
    elif _is_same(column.header, PATIENT_ID):
        why = "the patients' ids"
    elif not column.header:
        why = "has no name"
    elif is_reserved(column.header):
        why = "its name is reserved"
    elif normalized(column.header) in taken:
        why = "another column has this name"
    elif len(fields) == MOST_FEATURES:
        why = f"there are {MOST_FEATURES} fields already"
    return None if why is None else Unused(column.header, why)


def _field_name(header: str, place: int, taken: dict[str, Drafted]) -> str:
    """Return a valid name that resembles a header, which stays an alias."""
    bare = _UNIT.fullmatch(header)
    text = unicodedata.normalize("NFKD", bare[1] if bare else header).encode("ascii", "ignore").decode()
    name = re.sub(r"\W+", "_", text).strip("_")[:_LONGEST_NAME].rstrip("_")
    if name and not name[0].isalpha():
        name = f"x{name}"[:_LONGEST_NAME]
    others = {normalized(each) for field, its in taken.items() for each in (field, its.column.header)}
    if not name or is_reserved(name) or normalized(name) in others:
        name = f"column_{place}"
    return name


def _required(fields: dict[str, Drafted]) -> frozenset[str]:
    """Return the fields that are never missing, and the rarely missing ones beyond what a table may have."""
    gaps = sorted(fields, key=lambda name: fields[name].gaps)
    optional = [name for name in gaps if fields[name].gaps][-MOST_OPTIONAL:]
    return frozenset(fields) - frozenset(optional)


def _head(file: LabelledFile, source: str, name: str, unused: Sequence[Unused]) -> str:
    rows = f"{'the first ' if file.has_more else ''}{file.rows:,} rows"
    lines = [
        f"# Drafted by heartstream table init from {rows} of {_comment(source)}.",
        "# Each TODO needs a person. docs/feature-table.md describes the file; heartstream table check checks it.",
    ]
    lines += [f"# Not a field: {_comment(each.header) or 'a column'}: {each.why}." for each in unused]
    lines += ["", f"name = {_string(name)}", 'version = "1"', f"title = {_string(name)}  # TODO: in words"]
    return _joined(lines)


def _outcome(chosen: DraftedOutcome, rows: int) -> str:
    header, positive = chosen.column.header, _list(chosen.positive)
    guess = "  # TODO: is this the outcome? Its name suggests it" if chosen.is_guess else ""
    meaning = f"{header} = {', '.join(map(str, chosen.positive))}"
    lines = [
        "[outcome]",
        f"column = {_string(header)}{guess}",
        f"negative = {_list(chosen.negative)}",
        f"positive = {positive}  # TODO: confirm; {chosen.positives:,} of {rows:,} rows",
        f"meaning = {_string(meaning)}  # TODO: what a positive outcome is, in words",
        '# horizon = "P1Y"  # TODO: until when the outcome is known, such as P1Y; none for a diagnosis at the time',
    ]
    if chosen.column.missing:
        lines.append(f"# {chosen.column.missing:,} rows have no outcome.")
    lines.append("# TODO: remove fields that are known only with or after the outcome, such as its date or treatment.")
    return _joined(lines)


def _population() -> str:
    return _joined(["[population]", 'who = ""  # TODO: which patients, where and when', 'licence = ""  # TODO'])


def _example(fields: dict[str, Drafted]) -> str:
    values = [f"{name} = {_value(its.typical)}" for name, its in fields.items()]
    return _joined(["# Each field's median or commonest code, together nobody's.", "[example]", *values])


def _feature(name: str, its: Drafted, required: frozenset[str]) -> str:
    header = its.column.header
    found = _UNIT.fullmatch(header) if its.kind == "quantity" else None
    lines = ["[[feature]]", f"name = {_string(name)}", f"meaning = {_string(header)}  # TODO: in words"]
    flag = '  # TODO: 1 is yes; for anything else use kind = "code" and codes = { 0 = "...", 1 = "..." }'
    lines.append(f'kind = "{its.kind}"{flag if its.kind == "flag" else ""}')
    if its.kind == "quantity":
        unit = f"unit = {_string(found[2])}" if found else '# unit = "mg/dL"'
        lines.append(f"{unit}  # TODO: in UCUM's notation")
    if its.whole:
        lines.append("whole = true")
    if its.limits:
        limits = ", ".join(_value(int(each) if its.whole else each) for each in its.limits)
        lines.append(f"limits = [{limits}]  # TODO: what is possible; these are wider than the data by half")
    lines += _gaps(name, its, required)
    if normalized(header) != normalized(name):
        lines.append(f"aliases = [{_string(header)}]")
    return _joined([*lines, *_codes(its)])


def _gaps(name: str, its: Drafted, required: frozenset[str]) -> Iterator[str]:
    """Yield what is known about missing values."""
    if its.suspects:
        numbers = ", ".join(str(number) for number, _ in its.suspects)
        found = " and ".join(f"{rows:,} have {number}" for number, rows in its.suspects)
        yield f"# missing = [{numbers}]  # TODO: of the rows, {found}: remove the # if that means missing"
    if its.odd:
        yield f'# TODO: {its.odd:,} rows have a text: if it means missing, read files with --na-values "NA,..."'
    if name in required:
        gap = f"  # TODO: {its.gaps:,} rows lack it, and are rejected: at most {MOST_OPTIONAL} may be optional"
        yield f"required = true{gap if its.gaps else ''}"


def _codes(its: Drafted) -> Iterator[str]:
    if its.kind != "code":
        return
    if isinstance(its.codes[0], int):
        yield "# ordered = true  # TODO: if the codes are steps of a scale"
    yield "[feature.codes]  # TODO: what each code means"
    for code in its.codes:
        hint = "  # TODO: does it mean missing? Then remove it" if normalized_word(str(code)) in _UNKNOWN else ""
        yield f"{_key(str(code))} = {_string(str(code))}{hint}"


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return printable(" ".join(text.split()))


def _key(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else _string(text)


def _string(text: str) -> str:
    """Return a TOML string: JSON's escapes are valid in it, but it may not contain DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _list(values: Sequence[int | str]) -> str:
    return f"[{', '.join(map(_value, values))}]"


def _value(value: float | str) -> str:
    if isinstance(value, str):
        return _string(value)
    return str(value) if isinstance(value, int) else f"{value:.12g}"
