"""A drafted table is valid, says what the data show, and assumes nothing that only a person can know."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas.errors import DataError
from schemas.tables.checks import MOST_FEATURES, MOST_OPTIONAL
from schemas.tables.toml_file import read_table
from tests.support.drafts import ROWS, Columns, cycled, drafted, feature_of, table_of, written

WIDELY = settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("values", "kind", "sent"),
    [
        (cycled(0, 1), "code", (0, 1)),
        (cycled("yes", "no", "No"), "code", (0, 1)),
        (cycled("Y", "N"), "code", (0, 1)),
        (cycled("True", "False"), "code", (0, 1)),
        (cycled(1, 2, 5), "code", (1, 2, 5)),
        (cycled("1.0", "2.0", ""), "code", (1, 2)),
        (cycled("Fmale", "Male", "male", "male"), "code", ("Fmale", "male")),
        (cycled("<5", ">5", "none", "NA"), "code", ("<5", ">5")),
        (cycled(1, 2, "3+"), "code", ("1", "2", "3+")),
        (range(20, 20 + ROWS * 2, 2), "quantity", ()),
        ([number / 8 for number in range(ROWS)], "quantity", ()),
    ],
)
def test_kinds_and_codes_are_those_of_the_data(
    tmp_path: Path, values: Sequence[object], kind: str, sent: tuple[object, ...]
) -> None:
    """Few whole numbers or texts are codes, 0 and 1 or yes and no are a flag, other numbers a quantity."""
    feature, _ = feature_of(tmp_path, values)
    assert (str(feature.kind), feature.sent) == (kind, sent)


def test_a_quantity_has_limits_beyond_the_data(tmp_path: Path) -> None:
    """Wider, rounded, whole where the data are, and not below 0 where they are not."""
    whole, text = feature_of(tmp_path, [30 + number % 37 for number in range(ROWS)])
    assert (whole.limits, whole.whole, "limits = [10, 90]  # TODO" in text) == ((10, 90), True, True)
    decimal, _ = feature_of(tmp_path, [0.25 + number / 1000 for number in range(ROWS)])
    assert (decimal.limits, decimal.whole) == ((0.23, 0.31), False)
    positive, _ = feature_of(tmp_path, [number * 3 for number in range(ROWS)])
    assert positive.limits == (0, 180)


@pytest.mark.parametrize(
    ("values", "codes", "sent"),
    [
        (cycled(1, 2, 3, 9), [9], (1, 2, 3)),
        (cycled(0, 1, -9), [-9], (0, 1)),
        (cycled(0, 1, -8, -9), [-9, -8], (0, 1)),
        (cycled(*range(100, 140), 0), [], ()),
        ([*range(120, 158), 0, 0], [0], ()),
        ([*range(30, 69), 999], [999], ()),
        ([*range(60, 100)], [], ()),
        ([-9, *range(-8, 31)], [], ()),
    ],
)
def test_a_number_that_may_mean_missing_is_suggested_and_not_assumed(
    tmp_path: Path, values: Sequence[object], codes: list[int], sent: tuple[object, ...]
) -> None:
    """It is in a comment, and neither a missing number, nor a code, nor within the limits."""
    feature, text = feature_of(tmp_path, values)
    suggestion = f"# missing = [{', '.join(map(str, codes))}]  # TODO"
    assert (suggestion in text, "# missing" in text) == (bool(codes), bool(codes))
    assert (feature.missing, feature.sent, feature.required) == ((), sent, not codes)
    low, high = feature.interval
    assert not [code for code in codes if low <= code <= high]
    accepted = read_table(_with_suggestion(tmp_path, values).encode(), "t").features[0]
    assert [*accepted.missing] == codes


def _with_suggestion(folder: Path, values: Sequence[object]) -> str:
    return drafted(written(folder / "in.csv", {"x": values})).text.replace("# missing =", "missing =")


def test_fields_that_are_never_missing_are_required(tmp_path: Path) -> None:
    """The others are optional, up to as many as a table may have: the most often missing ones."""
    rows = ROWS + MOST_OPTIONAL
    columns: Columns = {"full": range(0, 3 * rows, 3), "died": [number % 2 for number in range(rows)]}
    columns |= {f"c{gaps}": [""] * gaps + [*range(0, 3 * (rows - gaps), 3)] for gaps in range(1, MOST_OPTIONAL + 2)}
    draft = drafted(written(tmp_path / "in.csv", columns))
    table = table_of(draft)
    assert [table.names[place] for place in table.optional] == [f"c{gaps}" for gaps in range(2, MOST_OPTIONAL + 2)]
    assert "required = true  # TODO: 1 rows lack it, and are rejected" in draft.text


def test_what_is_no_field_is_named(tmp_path: Path) -> None:
    """Ids, dates, free text, misspelt numbers, constants, columns without a value or name, and repeated names."""
    columns: Columns = {
        "patient_id": [f"p-{number}" for number in range(ROWS)],
        "MRN": range(7_000_000, 7_000_000 + 3 * ROWS, 3),
        "Row": range(1, ROWS + 1),
        "admitted": [f"2020-01-{1 + number % 28:02}" for number in range(ROWS)],
        "born": [f"{1 + number % 28}.3.1950" for number in range(ROWS)],
        "letter": [f"text {number % 25}" for number in range(ROWS)],
        "comment": cycled("a long remark " * 4, "none at all"),
        "site": cycled("A", "B"),
        "country": cycled("CH"),
        "marked": cycled("0", "1", "0:"),
        "empty": cycled(""),
        "": cycled(0, 1),
        "age": cycled(1, 2),
        "Age ": cycled(1, 2),
        "Fall-Nr.": [number * number for number in range(ROWS)],
    }
    draft = drafted(written(tmp_path / "in.csv", columns), id_column="fall nr")
    kept = {feature.name for feature in table_of(draft).features} - {"site"}  # reserved in some versions
    assert kept == {"age"}
    reasons = {each.header: each.why for each in draft.unused if each.header != "site"}
    assert reasons == {
        "patient_id": "the patients' ids",
        "MRN": "identifies rows",
        "Row": "identifies rows",
        "admitted": "dates",
        "born": "dates",
        "letter": "free text (25 different values)",
        "comment": "free text (2 different values)",
        "country": "has one value",
        "marked": "numbers, with other characters in too many cells",
        "empty": "has no values",
        "": "has no name",
        "Age": "another column has this name",
        "Fall-Nr.": "the patients' ids: read files with --id-column",
    }
    assert all(f"# Not a field: {header or 'a column'}: {why}." in draft.text for header, why in reasons.items())


def test_more_columns_than_a_table_may_have_are_left_out(tmp_path: Path) -> None:
    """The first ones are the fields."""
    columns: Columns = {f"c{number}": cycled(0, 1) for number in range(MOST_FEATURES + 1)}
    draft = drafted(written(tmp_path / "in.csv", columns))
    assert (draft.fields, [each.header for each in draft.unused]) == (MOST_FEATURES, [f"c{MOST_FEATURES}"])


@pytest.mark.parametrize(
    ("header", "name", "unit", "aliases"),
    [
        ("age", "age", None, ()),
        ("Creatinine (mg/dL)", "Creatinine", "mg/dL", ("Creatinine (mg/dL)",)),
        ("Körper-Größe [cm]", "Korper_Groe", "cm", ("Körper-Größe [cm]",)),
        ("2nd BP", "x2nd_BP", None, ("2nd BP",)),
        ("λ", "column_1", None, ("λ",)),
        ("lambda", "lambda", None, ()),
        ("x" * 50, "x" * 40, None, ("x" * 50,)),
        ("state (1=ill)", "state_1_ill", None, ()),
        ('a "quoted" \x7f name', "a_quoted_name", None, ()),
    ],
)
def test_a_field_has_a_valid_name_and_its_header_as_an_alias(
    tmp_path: Path, header: str, name: str, unit: str | None, aliases: tuple[str, ...]
) -> None:
    """Letters without accents; a unit in brackets is the unit."""
    feature, _ = feature_of(tmp_path, range(0, 3 * ROWS, 3), header)
    assert (feature.name, feature.unit, feature.aliases) == (name, unit, aliases)


@pytest.mark.parametrize(
    ("values", "positive", "negative"),
    [
        (cycled(0, 1, 1), (1,), (0,)),
        (cycled(0, 1, 2, 4), (1, 2, 4), (0,)),
        (cycled("Cad", "Cad", "Normal"), ("Cad",), ("Normal",)),
        (cycled("alive", "alive", "dead"), ("dead",), ("alive",)),
        (cycled(1, 1, 2), (2,), (1,)),
        (cycled("1.0", "0.0", ""), (1,), (0,)),
    ],
)
def test_the_outcome_is_proposed_and_must_be_confirmed(
    tmp_path: Path, values: Sequence[object], positive: tuple[object, ...], negative: tuple[object, ...]
) -> None:
    """Its values are listed; which ones are positive is a guess."""
    draft = drafted(written(tmp_path / "in.csv", {"x": cycled(0, 1), "died": values}))
    outcome = table_of(draft).outcome
    assert (outcome.column, outcome.positive, outcome.negative) == ("died", positive, negative)
    assert "# TODO: confirm; " in draft.text
    assert ("rows have no outcome" in draft.text) == ("" in values)


def test_an_outcome_that_nobody_named_is_one_with_a_usual_name(tmp_path: Path) -> None:
    """The draft asks whether it is the outcome."""
    path = written(tmp_path / "in.csv", {"x": cycled(0, 1)})
    assert "# TODO: is this the outcome?" in drafted(path, outcome=None).text
    assert "# TODO: is this the outcome?" not in drafted(path).text


CELLS = st.text(max_size=5) | st.sampled_from(
    ["", "NA", "0", "1", "-9", "9", "999", "1.5", "yes", "no", "<5", "2020-01-01"]
)


@WIDELY
@given(
    names=st.lists(st.text(max_size=8) | st.sampled_from(["age", "sex", "x (mg/dL)"]), min_size=1, max_size=6),
    rows=st.integers(2, 30),
    data=st.data(),
)
@example(names=["0\x0c", "x"], rows=2, data=None)
def test_any_draft_is_valid_and_has_no_row(
    tmp_path: Path, names: list[str], rows: int, data: st.DataObject | None
) -> None:
    """Whatever the cells: it is a valid table, or the file is refused as data."""
    columns: Columns = {}
    for name in names:
        pool = ["0", "1"] if data is None else data.draw(st.lists(CELLS, min_size=1, max_size=4))
        columns[name] = [pool[number % len(pool)] for number in range(rows)]
    columns["died"] = [number % 2 for number in range(rows)]
    path = written(tmp_path / "in.csv", columns)
    try:
        draft = drafted(path)
    except DataError:
        return
    table = table_of(draft)
    assert draft.fields + len(draft.unused) == len(table.names) + len(draft.unused) == len(columns) - 1
    assert tomllib.loads(draft.text)["example"].keys() == {*table.names}
