"""A user's file is read as it is meant, or refused with every reason and no value."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from schemas.errors import DataError, DependencyError
from tests.support.public_copies import copy_rows, inverted, kaggle_coded, uci_records
from tests.support.uci import CODINGS, FEATURE_NAMES, UCI
from training.data.dataset import SITES, file_name, published_file
from training.data.frames import site_rows
from training.data.labelled import read_labelled

TOLD_NOWHERE = "zqx"


def written(folder: Path, frame: pd.DataFrame, outcome: str = "num") -> Path:
    """Write rows as a CSV with a header; the outcome is 0 or 1 in a column called target."""
    table = frame[list(FEATURE_NAMES)].copy()
    table[outcome] = frame["num"] if outcome == "num" else (frame["num"] > 0).astype(int)
    path = folder / "heart.csv"
    table.to_csv(path, index=False)
    return path


def refusal(path: Path) -> str:
    """Return why a file is refused."""
    with pytest.raises(DataError) as caught:
        read_labelled(path, UCI)
    return str(caught.value)


@pytest.mark.parametrize("site", SITES)
def test_uci_published_file_is_read(site: str, tmp_path: Path, everyone: pd.DataFrame) -> None:
    """A file without header has the snapshot's patients, repeated rows included."""
    path = tmp_path / file_name(site)
    path.write_bytes(published_file(site))
    found, expected = read_labelled(path, UCI), site_rows(everyone, site)
    pd.testing.assert_frame_equal(found.frame.drop(columns="site"), expected.drop(columns="site"))
    assert found.sha256 == hashlib.sha256(published_file(site)).hexdigest()


@pytest.mark.parametrize("outcome", ["num", "target"])
def test_csv_with_header_is_read(outcome: str, tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """Columns may be in any order, among ignored ones, and names may be in capitals."""
    path = written(tmp_path, cleveland, outcome)
    table = pd.read_csv(path)
    table.insert(0, "patient_id", "p")
    table = table[table.columns[::-1]]
    table.columns = table.columns.str.upper()
    table.to_csv(path, index=False)
    found = read_labelled(path, UCI).frame
    pd.testing.assert_frame_equal(found[list(FEATURE_NAMES)], cleveland[list(FEATURE_NAMES)])
    assert ((found["num"] > 0) == (cleveland["num"] > 0)).all()
    assert set(found["site"]) == {"heart"}


def test_sites_of_patients_are_read(tmp_path: Path, everyone: pd.DataFrame) -> None:
    """If there is a column for it each patient keeps the hospital."""
    path = tmp_path / "all.csv"
    everyone.to_csv(path, index=False)
    assert (read_labelled(path, UCI).frame["site"] == everyone["site"]).all()


@pytest.mark.parametrize("unmeasured", ["", "?", "-9", "-9.0", "NA", "nan"])
def test_unmeasured_is_missing(unmeasured: str, tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """Every marker for "not measured" gives NaN."""
    path = tmp_path / "heart.csv"
    cleveland.drop(columns="site").astype(object).where(cleveland.notna(), unmeasured).to_csv(path, index=False)
    found = read_labelled(path, UCI).frame
    pd.testing.assert_frame_equal(found[list(FEATURE_NAMES)], cleveland[list(FEATURE_NAMES)])


def test_kaggles_copy_is_refused_for_its_coding_and_then_for_its_repeats(
    tmp_path: Path, cleveland: pd.DataFrame
) -> None:
    """The 1,025 rows of most tutorials: another coding, and with the coding declared only 302 distinct rows."""
    copy = pd.concat([kaggle_coded(cleveland).iloc[:302]] * 4).iloc[:1025]
    path = written(tmp_path, copy, "target")
    message = refusal(path)
    assert "rows hold values of another coding of this data" in message
    assert message.endswith("there are several: kaggle-303, kaggle-297, statlog: name yours with --coding")
    with pytest.raises(DataError, match="only 302 of 1025 rows are distinct; this is the Kaggle copy") as caught:
        read_labelled(path, UCI, "kaggle-303")
    assert "inverted" not in str(caught.value)


@pytest.mark.parametrize("name", ["kaggle-303", "kaggle-297", "statlog"])
@pytest.mark.parametrize("header", [True, False])
def test_a_copy_with_a_declared_coding_is_read_as_ucis(tmp_path: Path, name: str, header: bool) -> None:  # noqa: FBT001
    """Codes and outcome become UCI's, with a header or without; otherwise no such copy is read."""
    path = tmp_path / "heart.csv"
    head = [",".join([*FEATURE_NAMES, CODINGS[name].outcome])] if header else []
    path.write_text("\n".join([*head, *(",".join(f"{cell:g}" for cell in row) for row in copy_rows(name))]))
    found = read_labelled(path, UCI, name).frame
    ids = [json.loads(record) for record in uci_records(name)]
    expected = np.array(
        [[np.nan if record[each] is None else record[each] for each in FEATURE_NAMES] for record in ids]
    )
    np.testing.assert_array_equal(expected, found[list(FEATURE_NAMES)].to_numpy())
    assert found["num"].sum() == {"kaggle-303": 138, "kaggle-297": 137, "statlog": 120}[name]
    with pytest.raises(DataError, match="no column num or target" if header and name != "kaggle-303" else "--coding"):
        read_labelled(path, UCI)


def test_statlogs_published_file_is_read(tmp_path: Path) -> None:
    """Spaces between columns and classes 1 and 2 are refused with the advice to declare the coding."""
    path = tmp_path / "heart.dat"
    path.write_text("".join(" ".join(map(str, row[:-1])) + f" {row[-1]:g}\n" for row in copy_rows("statlog")))
    assert "the outcome is 1 or 2 in every row and never 0, as in Statlog's coding" in refusal(path)
    assert read_labelled(path, UCI, "statlog").frame["num"].sum() == 120


def test_one_typo_is_not_another_coding(tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """One slope of 0 in 303 rows is reported for its line."""
    slip = cleveland.copy()
    slip.loc[2, "slope"] = 0
    message = refusal(written(tmp_path, slip))
    assert message.startswith("heart.csv must not be used: line 4: slope must be one of 1 (upsloping), ")
    assert "rows hold values of another coding" not in message


def test_inverted_target_is_refused(tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """UCI's codes with an inverted outcome are detected by chest pain."""
    assert "the target looks inverted" in refusal(written(tmp_path, inverted(cleveland), "target"))


def test_chance_is_not_an_inverted_target(tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """A few patients in whom type 2 has more disease than type 4, or neither type, are evaluated."""
    ill, well = cleveland["num"] > 0, cleveland["num"] == 0
    odd = pd.concat([cleveland[well & (cleveland["cp"] == 4)][:3], cleveland[ill & (cleveland["cp"] == 2)][:2]])
    assert len(read_labelled(written(tmp_path, odd), UCI).frame) == 5
    neither = cleveland[cleveland["cp"] == 3]
    assert len(read_labelled(written(tmp_path, neither), UCI).frame) == len(neither)


def test_equal_rows_with_few_measurements_are_not_duplicates(tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """Without blood pressure, cholesterol and heart rate equal rows are different patients."""
    bedside = cleveland.copy()
    bedside.loc[:, [name for name in FEATURE_NAMES if name not in {"age", "sex", "cp"}]] = np.nan
    assert len(read_labelled(written(tmp_path, bedside), UCI).frame) == 303


def test_column_problems_are_reported_together(tmp_path: Path) -> None:
    """Missing columns, a missing outcome and repeated columns."""
    path = tmp_path / "heart.csv"
    path.write_text("age,sex,cp,age\n1,1,1,1\n")
    message = refusal(path)
    absent = [name for name in FEATURE_NAMES if name not in {"age", "sex", "cp"}]
    assert all(f"column {name} is missing" in message for name in absent)
    assert "there is no column num or target" in message
    assert "column age appears twice" in message


def test_invalid_cells_are_reported_by_position(tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """Line and field without the cell; empty lines count; after five only the number of the rest."""
    path = written(tmp_path, cleveland)
    lines = path.read_text().splitlines()
    lines[2:10] = [line.replace(line.split(",")[0], TOLD_NOWHERE, 1) for line in lines[2:10]]
    path.write_text("\n".join([lines[0], "", *lines[1:]]))
    message = refusal(path)
    assert "must not be used: line 4: age is not a number; line 5:" in message
    assert ("and 3 more such lines" in message, TOLD_NOWHERE in message) == (True, False)


def test_invalid_values_have_the_messages_of_the_contract(tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """The worker's messages, with everything else that is wrong, without the value."""
    spoilt = inverted(cleveland)
    spoilt.loc[0, ["chol", "sex"]] = [7777, 3]
    spoilt.loc[4, "age"] = np.nan
    message = refusal(written(tmp_path, spoilt))
    assert "line 2: sex must be one of 0 (female), 1 (male), chol must be 40 to 1000 mg/dL" in message
    assert "line 6: age " in message
    assert "the target looks inverted" in message
    assert "7777" not in message


@pytest.mark.parametrize(("outcome", "value"), [("num", "5"), ("target", "2"), ("num", "?"), ("num", "0.5")])
def test_outcome_must_be_valid(outcome: str, value: str, tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """`num` goes to 4, `target` to 1; neither may be missing."""
    path = written(tmp_path, cleveland, outcome)
    lines = path.read_text().splitlines()
    lines[1] = f"{lines[1].rpartition(',')[0]},{value}"
    path.write_text("\n".join(lines))
    assert f"line 2: {outcome} must be one of 0, 1" in refusal(path)


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e400"])
def test_infinity_is_not_a_number(cell: str, tmp_path: Path, cleveland: pd.DataFrame) -> None:
    """Values that a float parser accepts and no measurement gives are refused with their position."""
    path = written(tmp_path, cleveland)
    lines = path.read_text().splitlines()
    lines[1] = ",".join(
        cell if name == "chol" else was for name, was in zip([*FEATURE_NAMES, "num"], lines[1].split(","), strict=True)
    )
    path.write_text("\n".join(lines))
    assert "line 2: chol is not a number" in refusal(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it holds no patients"),
        (",".join([*FEATURE_NAMES, "num"]).encode(), "it holds no patients"),
        (b"\xff\xfe\x00", "it is not valid utf-16; set --encoding"),
        (b"age,sex,cp\n\xff,1,1\n", "it is not UTF-8; set --encoding"),
        (b'"' + b"a" * 200_000 + b'"', "it is not a CSV"),
        (b"1,2,3\n", "it has no header, and 3 columns where UCI Heart Disease's own files have 14"),
        (published_file("va") + b"63,1,1,145\n", "line 201 has 4 columns, expected 14"),
    ],
    ids=["empty", "header alone", "half a mark", "bytes", "long", "narrow", "joined"],
)
def test_other_content_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    """An empty file, binary content and other rows each have their reason."""
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    assert message in refusal(path)


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    """The error has the path and the cause, and is not a data error."""
    with pytest.raises(DependencyError, match="No such file") as caught:
        read_labelled(tmp_path / "nowhere.csv", UCI)
    assert not isinstance(caught.value, DataError)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("form", ["decimal comma", "utf-16", "words", "empty rows"])
def test_a_foreign_file_has_the_patients_of_the_clean_one(
    form: str, end: str, tmp_path: Path, cleveland: pd.DataFrame
) -> None:
    """Separators, encodings, aliases, words for codes and empty rows are read as in `heartstream score`."""
    lines = written(tmp_path, cleveland).read_text().splitlines()
    expected = read_labelled(tmp_path / "heart.csv", UCI)
    text = end.join([*lines, ""])
    if form == "decimal comma":
        text = text.replace(",", ";").replace(".", ",")
    if form == "words":
        words = {"0.0": "Female", "1.0": "Male"}
        rows = [",".join([row[0], words[row[1]], *row[2:]]) for row in (line.split(",") for line in lines[1:])]
        text = end.join([lines[0].upper().replace("THALACH", "Max HR"), *rows])
    if form == "empty rows":
        text = "\ufeff" + text + end + "," * 13 + end + end
    path = tmp_path / "foreign.csv"
    path.write_bytes(text.encode("utf-16" if form == "utf-16" else "utf-8"))
    found = read_labelled(path, UCI)
    pd.testing.assert_frame_equal(expected.frame.drop(columns="site"), found.frame.drop(columns="site"))
    assert [bool(found.notes), expected.notes] == [form != "empty rows", ()]
