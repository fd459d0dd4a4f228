"""The same patients in the variants of CSV that other programs write."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from hypothesis import strategies as st

from heartstream.files.score import Request, score_file
from heartstream.files.tally import Tally
from schemas.errors import DataError
from schemas.read_options import ReadOptions
from scoring.scorer import Scorer
from tests.support.file_tables import unseen
from tests.support.uci import FEATURE_NAMES, FEATURES
from training.data.dataset import snapshot_rows

NAMES: Final = ("patient_id", *FEATURE_NAMES)
PATIENTS: Final = [dict(zip(NAMES, ("", *row[1:-1]), strict=True)) for row in snapshot_rows()]
"""The snapshot's patients as cells; an empty one was not measured."""
Cells = dict[str, str]
DEFAULT_OPTIONS: Final = ReadOptions()

_WORDS: Final = {feature.name: {str(code): texts for code, texts in feature.texts} for feature in FEATURES}
_ALIASES: Final = {feature.name: (feature.name, *feature.aliases) for feature in FEATURES}


@dataclass(frozen=True, slots=True)
class Form:
    """One way to write a file, and the options that it needs."""

    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    line_end: str = "\n"
    quoting: int = csv.QUOTE_MINIMAL
    case: str = "lower"
    alias: int = 0
    missing: str = ""
    padding: str = ""
    words: bool = False
    extra: tuple[str, ...] = ()
    id_column: str = "patient_id"
    empty_rows: int = 0
    directive: bool = False

    @property
    def options(self) -> ReadOptions:
        """Return the options for what cannot be detected."""
        named = self.encoding in {"cp1252", "utf-16-le", "utf-16-be"}
        return ReadOptions(
            encoding=self.encoding if named else None,
            na_values="unknown" if self.missing == "unknown" else None,
            id_column=None if self.id_column == "patient_id" else self.id_column,
            ignore_columns=",".join(self.extra) or None,
        )

    def write(self, patients: Sequence[Cells]) -> bytes:
        """Return the file's bytes."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter=self.delimiter, lineterminator=self.line_end, quoting=self.quoting)
        if self.directive:
            text.write(f"sep={self.delimiter}\n")
        writer.writerow([*(self._header(name) for name in NAMES), *self.extra])
        for patient in patients:
            cells = [patient["patient_id"], *(self._cell(name, patient[name]) for name in FEATURE_NAMES)]
            writer.writerow([*cells, *("5\" or 6', NA; 1,5" for _ in self.extra)])
        text.write((self.delimiter * (len(NAMES) + len(self.extra) - 1) + self.line_end) * self.empty_rows)
        return text.getvalue().encode(self.encoding)

    def _header(self, name: str) -> str:
        if name == "patient_id":
            return self.id_column
        aliases = _ALIASES[name]
        header: str = getattr(aliases[self.alias % len(aliases)], self.case)()
        return f"{self.padding}{header}{self.padding}"

    def _cell(self, name: str, cell: str) -> str:
        if not cell:
            return self.missing
        if self.words and cell in _WORDS[name]:
            texts = _WORDS[name][cell]
            return getattr(texts[self.alias % len(texts)], self.case)()  # type: ignore[no-any-return]
        return f"{self.padding}{cell.replace('.', self.decimal)}{self.padding}"


@st.composite
def forms(draw: st.DrawFn) -> Form:
    """Draw a variant; a decimal comma works with any delimiter, as such cells are quoted."""
    return Form(
        delimiter=draw(st.sampled_from(",;\t|")),
        decimal=draw(st.sampled_from(".,")),
        encoding=draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])),
        line_end=draw(st.sampled_from(["\n", "\r\n"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
        case=draw(st.sampled_from(["lower", "upper", "title"])),
        alias=draw(st.integers(0, 6)),
        missing=draw(st.sampled_from(["", "NA", "n/a", "NaN", "?", "None", "NULL", ".", " ", "unknown", "-9"])),
        padding=draw(st.sampled_from(["", " "])),
        words=draw(st.booleans()),
        extra=draw(st.sampled_from([(), ("target",), ("notes", "Klinik (Ort)")])),
        id_column=draw(st.sampled_from(["patient_id", "Fall-Nr.", "id"])),
        empty_rows=draw(st.integers(0, 3)),
        directive=draw(st.booleans()),
    )


def score(
    path: Path, scorer: Scorer, options: ReadOptions = DEFAULT_OPTIONS, coding: str | None = None
) -> tuple[bytes, Tally]:
    """Return the scores of a file, all of whose rows are valid, and the counts."""
    output = path.with_name("scores.ndjson")
    tally = score_file(Request(path, output, force=True, options=options, coding=coding), scorer, unseen)
    return output.read_bytes(), tally


def refusal_of(path: Path, scorer: Scorer, options: ReadOptions = DEFAULT_OPTIONS) -> str:
    """Return why a file is refused, and check that nothing is published."""
    output = path.with_name("refused.ndjson")
    with pytest.raises(DataError) as caught:
        score_file(Request(path, output, options=options), scorer, unseen)
    assert not output.exists()
    return str(caught.value).replace(str(path), "FILE")


def patients(first: int, count: int, named: Callable[[int], str] = "p-{}".format) -> list[Cells]:
    """Return some of the snapshot's patients with ids."""
    rows = (PATIENTS[place % len(PATIENTS)] for place in range(first, first + count))
    return [{**row, "patient_id": named(number)} for number, row in enumerate(rows, 1)]
