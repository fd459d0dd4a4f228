"""Reading patients: missing values stay missing, and errors are reported without a value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from schemas.errors import DataError, DependencyError
from tests.support.uci import FEATURE_NAMES
from training.data.dataset import SITES, file_name, published_file
from training.data.frames import digest, features, read_snapshot, read_uci, site_rows, target

GOOD = "63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0"


def written(folder: Path, *lines: str) -> Path:
    """Write Cleveland's file in `folder`."""
    (folder / file_name("cleveland")).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("site", "positives"), [("cleveland", 139), ("hungarian", 106), ("switzerland", 115), ("va", 149)]
)
def test_target_is_any_narrowing(everyone: pd.DataFrame, site: str, positives: int) -> None:
    """A patient is positive if num is 1 to 4."""
    assert target(site_rows(everyone, site)).sum() == positives


@pytest.mark.parametrize(("site", "chol", "trestbps"), [
    ("cleveland", 0, 0), ("hungarian", 23, 1), ("switzerland", 123, 2), ("va", 56, 57),
])  # fmt: skip
def test_zeros_that_mean_missing_are_missing(everyone: pd.DataFrame, site: str, chol: int, trestbps: int) -> None:
    """A cholesterol or blood pressure of 0 was not measured."""
    missing = site_rows(everyone, site)[["chol", "trestbps"]].isna().sum()
    assert missing.tolist() == [chol, trestbps]


def test_complete_patients_are_counted(everyone: pd.DataFrame) -> None:
    """Of 920 patients 299 have all 13 fields, nearly all of them in Cleveland."""
    complete = everyone[list(FEATURE_NAMES)].notna().all(axis=1)
    counts = complete.groupby(everyone["site"]).sum()
    assert [int(counts[site]) for site in SITES] == [297, 1, 0, 1]


def test_features_are_the_matrix_of_the_contract(cleveland: pd.DataFrame) -> None:
    """The matrix is (n, 13) float64 in the order of the feature table."""
    matrix = features(cleveland)
    assert (matrix.shape, matrix.dtype) == ((303, 13), np.float64)
    assert matrix[0].tolist() == [63, 1, 1, 145, 233, 1, 2, 150, 0, 2.3, 3, 0, 6]


def test_uci_files_and_snapshot_give_the_same_table(tmp_path: Path, everyone: pd.DataFrame) -> None:
    """It makes no difference which of the two a training run reads."""
    for site in SITES:
        (tmp_path / file_name(site)).write_bytes(published_file(site))
    pd.testing.assert_frame_equal(read_uci(tmp_path), everyone)


@pytest.mark.parametrize("cell", ["?", "", "-9", "-9.0", " ? "])
def test_every_way_to_write_missing_is_read(tmp_path: Path, cell: str) -> None:
    """A question mark, an empty cell and -9 mean that a field was not measured."""
    line = GOOD.replace(",6.0,", f",{cell},")
    assert read_uci(written(tmp_path, line), ("cleveland",))["thal"].isna().all()


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ((GOOD, f"{GOOD},1"), "processed.cleveland.data line 2: has 15 columns, expected 14"),
        ((GOOD[:-2],), "processed.cleveland.data line 1: has 13 columns, expected 14"),
        ((GOOD.replace("233.0", "tall"),), "processed.cleveland.data line 1: chol is not a number"),
        ((GOOD[:-1] + "5",), "processed.cleveland.data line 1: num must be a whole number from 0 to 4"),
        ((GOOD[:-1] + "?",), "processed.cleveland.data line 1: num must be a whole number from 0 to 4"),
        ((), "processed.cleveland.data holds no rows"),
    ],
)
def test_an_invalid_file_is_refused_with_the_position(tmp_path: Path, lines: tuple[str, ...], text: str) -> None:
    """The error has file, line and field, and no patient's value."""
    with pytest.raises(DataError) as caught:
        read_uci(written(tmp_path, *lines), ("cleveland",))
    assert str(caught.value) == text


@pytest.mark.parametrize("header", ["X1,X2,X3", "X63.0,X1.0,X1.0.1,X145.0", '"V1","V2"'])
def test_a_generated_header_is_recognized(header: str, tmp_path: Path) -> None:
    """Column names that another program wrote above the patients, or made of the first of them."""
    with pytest.raises(DataError, match="begins with a header") as caught:
        read_uci(written(tmp_path, header, GOOD), ("cleveland",))
    assert "63" not in str(caught.value)


def test_a_byte_order_mark_and_blank_lines_are_ignored(tmp_path: Path) -> None:
    """Lines of blanks or empty cells as well."""
    expected = read_uci(written(tmp_path, GOOD, GOOD), ("cleveland",))
    found = read_uci(written(tmp_path, "\ufeff" + GOOD, "", "," * 13, GOOD, "  ", ""), ("cleveland",))
    pd.testing.assert_frame_equal(expected, found)


def test_file_with_a_header_is_named_as_the_kaggle_copy(tmp_path: Path) -> None:
    """UCI's files have no header: a file with one is another data set under UCI's name."""
    with pytest.raises(DataError, match="Kaggle copy"):
        read_uci(written(tmp_path, ",".join((*FEATURE_NAMES, "target")), GOOD), ("cleveland",))


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    """As invalid data, since it can be read."""
    (tmp_path / file_name("cleveland")).write_bytes(b"63.0,\xff\n")
    with pytest.raises(DataError, match=r"^processed\.cleveland\.data is not UTF-8 text$"):
        read_uci(tmp_path, ("cleveland",))


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(DependencyError, match=r"processed\.cleveland\.data: No such file"):
        read_uci(tmp_path)


def test_digest_is_of_the_rows(cleveland: pd.DataFrame) -> None:
    """Equal rows have equal digests; one changed value or another order changes it."""
    changed = cleveland.copy()
    changed.loc[0, "chol"] += 1
    digests = [digest(read_snapshot(("cleveland",))), digest(changed), digest(cleveland.iloc[::-1])]
    assert digests[0] == "9f5c2a5b3527b35233efc5ceae17a26375b6e5789923c17314b99471dbfd5360"
    assert len(set(digests)) == 3
