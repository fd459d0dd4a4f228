"""Which files a table can be drafted from: dialects, encodings, long files, and refusals."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from heartstream.tables.labelled_file import MOST_ROWS, read_columns
from schemas.errors import DataError, DependencyError, SettingsError
from schemas.read_options import TextOptions
from tests.support.drafts import ROWS, Columns, cycled, drafted, written


@pytest.mark.parametrize(
    ("content", "options", "reason"),
    [
        ("x,z\n1,0\n2,1\n", {"outcome": None}, "no column has the usual name of an outcome; set --outcome COLUMN"),
        ("x,y\n1,0\n2,1\n", {"outcome": "z"}, "--outcome: no column has this name"),
        ("x,y,Y\n1,0,1\n2,1,0\n", {"outcome": "y "}, "--outcome: more than one column has this name"),
        ("x,y\n1,0\n2,1\n", {"outcome": "y", "id_column": "z"}, "--id-column: no column has this name"),
        ("x,y\n1,0\n2,0\n", {"outcome": "y"}, "the outcome needs 2 to 10 values, and column y has 1"),
        ("x,y\n1,0\n1,1\n", {"outcome": "y"}, "none of its columns can be a field"),
        ("63,1,0\n1,2,3\n", {"outcome": "y"}, "it needs a header: most cells of its first line are numbers"),
        ("x\n1\n", {"outcome": "x"}, "it has less than two columns; set --delimiter"),
        ("", {"outcome": "x"}, "it has less than two columns"),
        ("x,y\n1,0\n1,1,5\n", {"outcome": "y"}, "row 2 has 3 cells where 2 are expected"),
        ("x;y\n1,5;0\n1.5;1\n", {"outcome": "y"}, "set --decimal"),
        ("x,y\n\xff,0\n", {"outcome": "y"}, "it is not UTF-8 text; set --encoding, such as cp1252"),
    ],
)
def test_a_refusal_says_what_to_do_and_shows_no_cell(
    tmp_path: Path, content: str, options: dict[str, str | None], reason: str
) -> None:
    """A file of another form is refused as a whole."""
    path = tmp_path / "in.csv"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError) as caught:
        drafted(path, **options)
    assert reason in str(caught.value)


def test_options_and_missing_files_are_reported(tmp_path: Path) -> None:
    """With the errors of the other commands."""
    with pytest.raises(SettingsError):
        read_columns(tmp_path, TextOptions(decimal="x"))
    with pytest.raises(DependencyError):
        read_columns(tmp_path / "none.csv", TextOptions())


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_dialect_and_encoding_are_detected(tmp_path: Path, delimiter: str, encoding: str) -> None:
    """The draft is the same, except for the file's name; compressed files are read, too."""
    columns: Columns = {"größe": [160.5 + number for number in range(ROWS)], "note": cycled("a,b", "c")}
    plain = written(tmp_path / "plain.csv", columns)
    text = written(tmp_path / "in.csv", columns, delimiter).read_text("utf-8")
    if delimiter != ",":
        text = text.replace(".", ",")
    other = tmp_path / "plain.csv.gz"
    other.write_bytes(gzip.compress(text.encode(encoding)))
    assert drafted(plain).text == drafted(other).text.replace("plain.csv.gz", "plain.csv")


def test_only_the_start_of_a_long_file_is_read(tmp_path: Path) -> None:
    """The draft says so."""
    path = tmp_path / "in.csv"
    path.write_text("x,died\n" + "0,0\n1,1\n" * (MOST_ROWS // 2 + 1))
    assert f"from the first {MOST_ROWS:,} rows of" in drafted(path).text
