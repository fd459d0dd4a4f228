"""The texts and the form that the page takes from a feature table are checked, each problem with its line."""

from __future__ import annotations

import pytest

from schemas.tables.feature_table import Outcome
from schemas.tables.toml_file import read_table
from tests.support.tables import problems_of

TABLE = """\
name = "t"
version = "1"
[outcome]
column = "died"
positive = [1]
negative = [0]
meaning = "death"
horizon = "P1Y"
[form.sections]
"Patient" = ["age", "sex"]
[form.examples."Old"]
age = 90
sex = "F"
[[feature]]
name = "age"
meaning = "age"
kind = "quantity"
limits = [0, 120]
[[feature]]
name = "sex"
meaning = "sex"
kind = "code"
codes = { F = "female", M = "male" }
required = true
"""


def test_a_table_has_its_sections_and_examples() -> None:
    """As they are written."""
    form = read_table(TABLE.encode(), "t.toml").form
    assert (form.sections, form.examples) == ({"Patient": ("age", "sex")}, {"Old": {"age": 90, "sex": "F"}})


@pytest.mark.parametrize(
    ("horizon", "text"),
    [
        ("", "death"),
        ("P1Y", "death within 1 year"),
        ("P5Y", "death within 5 years"),
        ("P30D", "death within 30 days"),
        ("P6M", "death within 6 months"),
        ("P1W", "death within 1 week"),
    ],
)
def test_the_outcome_has_its_horizon_in_words(horizon: str, text: str) -> None:
    """Nothing is added for a diagnosis at the time."""
    assert Outcome("died", (1,), (0,), "death", horizon=horizon).text == text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"P1Y"', '"1 year"', "t.toml:8: horizon must be a duration such as P1Y, P6M, P4W or P30D"),
        ('["age", "sex"]', '["age", "sax"]', "t.toml:10: sax: not fields"),
        ('["age", "sex"]', '["age", "age"]', "t.toml:10: age, age: in several sections"),
        ("age = 90", "age = 900", "t.toml:12: the example Old: age = 900 is not a valid value"),
        ('sex = "F"\n', "", "t.toml:11: the example Old has no sex"),
        ('sex = "F"\n', 'sex = "F"\ncp = 4\n', "t.toml:14: the example Old: cp is not a field"),
    ],
)
def test_a_problem_has_its_line(old: str, new: str, expected: str) -> None:
    """And its text names the field or the example."""
    assert problems_of(TABLE, (old, new))[0].startswith(expected)
