"""Drafts of feature tables from columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from heartstream.tables.draft import Draft, draft_table
from heartstream.tables.labelled_file import read_columns
from schemas.read_options import TextOptions
from schemas.tables.feature_table import Feature, FeatureTable
from schemas.tables.toml_file import read_table

ROWS = 40
Columns = dict[str, Sequence[object]]
DIED = [number % 4 == 0 for number in range(ROWS)]


def written(path: Path, columns: Columns, delimiter: str = ",") -> Path:
    """Write columns as CSV, with an outcome unless there is one."""
    columns = columns if "died" in columns else {**columns, "died": [int(each) for each in DIED]}
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    path.write_text(text.getvalue(), "utf-8", newline="")
    return path


def drafted(path: Path, **options: str | None) -> Draft:
    named: dict[str, str | None] = {"outcome": "died", "id_column": None, **options}
    return draft_table(
        read_columns(path, TextOptions()), path.name, name="t", outcome=named["outcome"], id_column=named["id_column"]
    )


def table_of(draft: Draft) -> FeatureTable:
    """Return the table of a draft, which must be valid as it is."""
    return read_table(draft.text.encode(), "draft")


def feature_of(folder: Path, values: Sequence[object], name: str = "x") -> tuple[Feature, str]:
    """Return the drafted field of one column, and its lines."""
    draft = drafted(written(folder / "in.csv", {name: values}))
    return table_of(draft).features[0], draft.text[draft.text.index("[[feature]]") :]


def cycled(*values: object) -> list[object]:
    return [values[number % len(values)] for number in range(ROWS)]
