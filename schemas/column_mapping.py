"""Maps the columns of a file to fields: case, spaces and punctuation are ignored, and fields have aliases.

A message contains a column's name only if its line is certainly a header: the first line of a file without a header is
a patient.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Final

import msgspec

from schemas.read_options import ReadOptions
from schemas.tables.feature_table import PATIENT_ID, FeatureTable
from schemas.tables.names import normalized

_HEADER_FIELDS: Final = 3
"""A line with this many field names is a header: they are not values of a patient."""
_NAME: Final = re.compile(r"[^\W\d][\w .()/%-]{0,39}")
_SIMILARITY: Final = 0.7
_MOST_SHOWN: Final = 8


class ColumnMapping(msgspec.Struct, frozen=True):
    """The positions of a table's columns in a file; the id's position is None if row numbers are used instead.

    `notes` describe the mapping as far as it is not by the fields' own names.
    """

    places: tuple[int | None, ...]
    notes: tuple[str, ...]


class ColumnMapper:
    """Maps columns to the fields of a feature table. `columns` are the id and the fields, in order."""

    def __init__(self, table: FeatureTable) -> None:
        self.columns = (PATIENT_ID, *table.names)
        self._names = table.names
        self._enough = min(_HEADER_FIELDS, len(self.columns))
        aliases = [(PATIENT_ID, ()), *((feature.name, feature.aliases) for feature in table.features)]
        self._fields: Mapping[str, str] = {
            normalized(alias): name for name, others in aliases for alias in (name, *others)
        }
        self._headerless = f", or the columns of {table.title}'s published files" if table.headerless else ""
        self.published = ColumnMapping((None, *range(len(table.names))), (f"{PATIENT_ID} is the row number",))
        """The mapping of published files without a header: fields in the table's order, without ids."""

    def field_of(self, name: str) -> str | None:
        """Return the field of which a column has the name or an alias."""
        return self._fields.get(normalized(name))

    def is_header(self, cells: Sequence[str]) -> bool:
        """Return whether enough cells of a line are names of fields."""
        return len({self.field_of(cell) for cell in cells} - {None}) >= self._enough

    def map(self, header: Sequence[str], options: ReadOptions) -> ColumnMapping | list[str]:
        """Find the fields in a header, or return all of its problems, with the options that would help."""
        names = [name.strip() for name in header]
        ignored, problems = _named(names, options.ignored, "--ignore-columns")
        chosen, wrong = _named(names, () if options.id_column is None else (options.id_column,), "--id-column")
        problems += wrong
        fields = [None if place in ignored else self.field_of(name) for place, name in enumerate(names)]
        for place in chosen:
            if fields[place] not in {None, PATIENT_ID}:
                problems.append(f"--id-column: {fields[place]} is a field of the record, not an id")
        extra = [place for place, each in enumerate(fields) if each is None and place not in ignored | chosen]
        if options.row_ids or options.id_column is not None:
            fields = [None if each == PATIENT_ID else each for each in fields]
            for place in chosen:
                fields[place] = PATIENT_ID
        problems += self._problems(names, fields, extra, options)
        if problems:
            return problems
        places = tuple(fields.index(name) if name in fields else None for name in self.columns)
        unread = [place for place, each in enumerate(fields) if each is None]
        return ColumnMapping(places, tuple(self._notes(names, places, unread)))

    def _problems(
        self, names: Sequence[str], fields: Sequence[str | None], extra: Sequence[int], options: ReadOptions
    ) -> Iterator[str]:
        absent = [name for name in self._names if name not in fields]
        if not self.is_header(names):
            several = "" if len(names) > 1 else " (set --delimiter if they are not separated correctly)"
            yield (
                f"almost none of its {len(names)} column(s){several} has the name of a field; it needs a header with "
                f"{', '.join(self.columns)}{self._headerless}"
            )
            return
        if absent:
            yield f"no column {', '.join(absent)}"
        if PATIENT_ID not in fields and not options.row_ids and options.id_column is None:
            yield f"no column {PATIENT_ID}: use --id-column NAME for another column, or --row-ids for row numbers"
        if extra and not options.ignore_extra:
            yield self._extra_text([names[place] for place in extra], absent)
        if repeated := [name for name in self.columns if fields.count(name) > 1]:
            text = "exclude one with --ignore-columns NAME, by its exact name"
            yield f"several columns for {', '.join(repeated)}: {text}"

    def _extra_text(self, names: Sequence[str], absent: Sequence[str]) -> str:
        """List the unknown columns with the fields that they resemble, and the options that exclude them."""
        shown = [name for name in names if _NAME.fullmatch(name)][:_MOST_SHOWN]
        candidates = {alias: name for alias, name in self._fields.items() if name in absent}
        listed = []
        for name in shown:
            close = get_close_matches(normalized(name), candidates, n=1, cutoff=_SIMILARITY)
            listed.append(f'"{name}"' + (f" (nearest: {candidates[close[0]]})" if close else ""))
        if others := len(names) - len(shown):
            listed.append(f"{others} more")
        example = "NAME,NAME" if others else ",".join(shown)
        options = f'--ignore-columns "{example}" or --ignore-extra excludes them'
        return f"{len(names)} column(s) are not fields of a patient record: {', '.join(listed)}; {options}"

    def _notes(self, names: Sequence[str], places: Sequence[int | None], unread: Sequence[int]) -> Iterator[str]:
        for name, place in zip(self.columns, places, strict=True):
            if place is not None and names[place] != name:
                yield f"{name} is column {_shown(names[place], place)}"
        if places[0] is None:
            yield f"{PATIENT_ID} is the row number"
        if unread:
            more = f" and {len(unread) - _MOST_SHOWN} more" if len(unread) > _MOST_SHOWN else ""
            yield f"ignored: {', '.join(_shown(names[place], place) for place in unread[:_MOST_SHOWN])}{more}"


def _named(names: Sequence[str], wanted: Sequence[str], option: str) -> tuple[set[int], list[str]]:
    """Return the positions of the columns in an option: by exact name, otherwise ignoring case and punctuation."""
    found: set[int] = set()
    absent = 0
    for each in wanted:
        exact = {place for place, name in enumerate(names) if name == each.strip()}
        places = exact or {place for place, name in enumerate(names) if normalized(name) == normalized(each) != ""}
        absent += not places
        found |= places
    problems = [f"{option}: {absent} column(s) not found in the file"] if absent else []
    if option == "--id-column" and len(found) > 1:
        problems.append(f"{option}: the column occurs more than once")
    return found, problems


def _shown(name: str, place: int) -> str:
    return f'"{name}"' if _NAME.fullmatch(name) else f"no. {place + 1}"
