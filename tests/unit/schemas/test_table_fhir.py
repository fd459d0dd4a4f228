"""The FHIR bindings of a feature table are checked, and each problem is reported with its line."""

from __future__ import annotations

import pytest

from schemas.tables.feature_table import FeatureTable
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
[fhir]
operation = "mortality"
age = "age"
gender = "sex"
genders = { female = "F", male = "M" }
[[feature]]
name = "age"
meaning = "age"
kind = "quantity"
limits = [0, 120]
ucum = { "a" = 1 }
fhir = [{ code = "30525-0", display = "Age" }]
[[feature]]
name = "sex"
meaning = "sex"
kind = "code"
codes = { F = "female", M = "male" }
[[feature]]
name = "high"
meaning = "glucose over 120 mg/dL"
kind = "flag"
fhir = [{ code = "1558-6", display = "Fasting glucose", above = 120, units = { "mg/dL" = 1 } }]
"""


def test_texts_have_defaults() -> None:
    """The outcome's meaning is the title of the operation and the outcome of a prediction."""
    fhir = read_table(TABLE.encode(), "t.toml").fhir
    assert fhir is not None
    assert (fhir.title, fhir.outcome, fhir.genders) == ("Risk of death", "Death", {"female": 0, "male": 1})


def test_keys_that_are_not_used_are_not_in_the_canonical_form() -> None:
    """The digest of a table without them is what it was before they existed; with them, they are read again."""
    table = read_table(TABLE.encode(), "t.toml")
    assert not any(key in table.as_json() for key in (b"other_units", b"fasting", b"notes"))
    changed = TABLE.replace('ucum = { "a" = 1 }', 'ucum = { "a" = 1 }\nother_units = { "yr" = 1 }').replace(
        'display = "Fasting glucose"', 'display = "Glucose", fasting = true, panel = ["1-8", "2-6"]'
    )
    own = read_table(changed.encode(), "t.toml")
    assert FeatureTable.from_json(own.as_json()) == own
    (code,) = own.by_name["high"].fhir
    assert (own.by_name["age"].other_units, code.fasting, code.panels) == ({"yr": 1.0}, True, ("1-8", "2-6"))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('"mortality"', '"$x"', "t.toml:9: operation must be lower-case letters, digits and hyphens, beginning with"),
        ('age = "age"', 'age = "sex"', "t.toml:10: sex is not a field with a quantity"),
        ('gender = "sex"', 'gender = "age"', "t.toml:11: age is not a field with codes"),
        ('male = "M"', 'man = "M"', "t.toml:12: genders must be { female = a code, male = a code }"),
        ('male = "M"', 'male = "m"', "t.toml:12: sex has only the codes F, M"),
        ('ucum = { "a" = 1 }', "", "t.toml:14: age: FHIR needs ucum = { unit = 1 } for a quantity, with the UCUM code"),
        ('ucum = { "a" = 1 }', 'ucum = { "a" = 0 }', "t.toml:18: age: a factor must be greater than 0"),
        ('ucum = { "a" = 1 }', 'ucum = { "a" = "x" }', "t.toml:18: ucum: expected a number, got a string"),
        (', display = "Age"', "", "t.toml:19: fhir: no key display - at $[0]"),
        ('display = "Age"', 'display = "Age", x = 1', "t.toml:19: fhir: unknown key x - at $[0]"),
        (
            'display = "Age"',
            'display = "Age", above = 3',
            "t.toml:19: age: only a field with the codes 0 and 1 can",
        ),
        ('"1558-6"', '"30525-0"', "t.toml:19: age: the code 30525-0 is listed more than once"),
        ('ucum = { "a" = 1 }', 'ucum = { "mo" = 12 }', "t.toml:14: age: FHIR needs ucum = { unit = 1 } for a quantity"),
        ('M = "male" }', 'M = "male" }\nucum = { "1" = 1 }', "t.toml:25: sex: only a quantity has units"),
        ('M = "male" }', 'M = "male" }\nother_units = { "1" = 1 }', "t.toml:25: sex: only a quantity has units"),
        (
            'ucum = { "a" = 1 }',
            'ucum = { "a" = 1 }\nother_units = { "mo" = 0 }',
            "t.toml:18: age: a factor must be greater",
        ),
        ('display = "Age"', 'display = "Age", other_units = { "mo" = -1 }', "t.toml:18: age: a factor must be greater"),
        ("above = 120, ", "", "t.toml:29: high: 1558-6: a field with codes 0 and 1 can have a code with above"),
        ('"mg/dL" = 1 }', '"mg/dL" = 2 }', "t.toml:29: high: 1558-6: above needs units, one of which has the factor 1"),
    ],
)
def test_a_problem_has_its_line(old: str, new: str, expected: str) -> None:
    """And its text names the field."""
    assert problems_of(TABLE, (old, new))[0].startswith(expected)


def test_bindings_without_an_operation_are_a_problem() -> None:
    """They would have no effect."""
    found = problems_of(
        TABLE,
        ('[fhir]\noperation = "mortality"\nage = "age"\ngender = "sex"\ngenders = { female = "F", male = "M" }\n', ""),
    )
    assert found == ["t.toml:14: age: FHIR needs a table [fhir]", "t.toml:24: high: FHIR needs a table [fhir]"]
