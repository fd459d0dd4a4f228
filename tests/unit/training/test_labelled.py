"""Somebody else's file is read as it is meant, or refused with every reason and no value."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from schemas.errors import DependencyError
from schemas.features import FEATURE_NAMES
from tests.unit.training.test_guards import kaggle_coded
from training.data import site_rows
from training.labelled import read_labelled
from training.uci import SITES, file_name, published


def written(folder: Path, frame: pd.DataFrame, outcome: str = "num") -> Path:
    """Write rows as a CSV with a header; the outcome as 0 and 1 where it is called target."""
    table = frame[list(FEATURE_NAMES)].copy()
    table[outcome] = frame["num"] if outcome == "num" else (frame["num"] > 0).astype(int)
    path = folder / "heart.csv"
    table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("site", SITES)
def test_published_file_is_read(site: str, tmp_path: Path, everyone: pd.DataFrame) -> None:
    """A file of UCI's, without header, holds the snapshot's patients, repeated rows included."""
    path = tmp_path / file_name(site)
    path.write_bytes(published(site))
    expected = site_rows(everyone, site)
    pd.testing.assert_frame_equal(read_labelled(path).drop(columns="site"), expected.drop(columns="site"))


@pytest.mark.parametrize("outcome", ["num", "target"])
def test_csv_with_header_is_read(outcome: str, tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """Columns may stand in any order, beside others; missing values may be empty."""
    path = written(tmp_path, cleveland, outcome)
    table = pd.read_csv(path)
    table.insert(0, "patient_id", "p")
    table[table.columns[::-1]].to_csv(path, index=False)
    found = read_labelled(path)
    pd.testing.assert_frame_equal(found[list(FEATURE_NAMES)], cleveland[list(FEATURE_NAMES)])
    assert ((found["num"] > 0) == (cleveland["num"] > 0)).all()


def test_kaggles_copy_is_refused_for_all_that_is_wrong(tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """The 1,025 rows that most tutorials use: other codes, an inverted target, 302 different rows; each is named."""
    copy = pd.concat([kaggle_coded(cleveland).iloc[:302]] * 4).iloc[:1025]
    with pytest.raises(DependencyError) as caught:
        read_labelled(written(tmp_path, copy, "target"))
    told = str(caught.value)
    assert "hold codes of the Kaggle copy" in told
    assert "only 302 of 1025 rows are different; this is the Kaggle copy with 1025 rows" in told


def test_inverted_target_is_refused(tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """UCI's codes with the outcome upside down are found by chest pain."""
    inverted = cleveland.assign(num=(cleveland["num"] == 0).astype(int))
    with pytest.raises(DependencyError, match="the target looks inverted"):
        read_labelled(written(tmp_path, inverted))


def test_missing_columns_are_told_together(tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """Every column that is not there is named, and that there is no outcome."""
    path = tmp_path / "heart.csv"
    cleveland[["age", "sex", "cp"]].to_csv(path, index=False)
    with pytest.raises(DependencyError) as caught:
        read_labelled(path)
    absent = [name for name in FEATURE_NAMES if name not in {"age", "sex", "cp"}]
    assert all(f"column {name} is missing" in str(caught.value) for name in absent)
    assert "neither a column num nor a column target" in str(caught.value)


def test_bad_cells_are_told_by_place(tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """Line and field are told, the cell is not; after five, how many more."""
    path = written(tmp_path, cleveland)
    lines = path.read_text().splitlines()
    lines[1:9] = [line.replace(line.split(",")[0], "zqx", 1) for line in lines[1:9]]
    path.write_text("\n".join(lines))
    with pytest.raises(DependencyError) as caught:
        read_labelled(path)
    told = str(caught.value)
    assert ("line 2: age is no legal number" in told, "and 3 more" in told, "zqx" in told) == (True, True, False)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "holds no rows"), (b"\xff\xfe\x00", "not UTF-8"), (b"1,2,3\n", "line 1 has 3 columns, expected 14")],
)
def test_what_is_no_table_is_refused(content: bytes, told: str, tmp_path: Path) -> None:
    """Nothing, no text, and other rows each have their reason."""
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(DependencyError, match=told):
        read_labelled(path)


def test_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """The path is named, and why it cannot be read."""
    with pytest.raises(DependencyError, match="No such file"):
        read_labelled(tmp_path / "nowhere.csv")
