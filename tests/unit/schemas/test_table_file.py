"""A feature table is read from TOML with all of its problems at once, and written as canonical JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import DataError
from schemas.records import PatientRecord
from schemas.tables.builtin import UCI_HEART
from schemas.tables.checks import MOST_FEATURES, MOST_OPTIONAL, table_problems
from schemas.tables.feature_table import FeatureTable
from schemas.tables.toml_file import InvalidTableError, read_table
from scoring.compiled_table import CompiledTable
from tests.support import tables
from tests.support.tables import each_table

BUILTIN = Path(__file__).parents[3] / "schemas" / "tables" / "uci_heart.toml"
START = """name = "small"
version = "1"

[outcome]
column = "died"
negative = [0]
positive = [1]
meaning = "death"

[[feature]]
name = "age"
meaning = "age"
kind = "quantity"
limits = [18, 110]
required = true

[[feature]]
name = "sex"
meaning = "sex"
kind = "code"
codes = { f = "female", m = "male" }
required = true
"""
"""A valid table, without a line after its last."""
LAST = START.count("\n")


def problems_of(text: str) -> list[str]:
    """Return the problems of a table, without the file's name; none if it is valid."""
    return [problem.removeprefix("t.toml:") for problem in tables.problems_of(text)]


def changed(old: str, new: str) -> str:
    """Return the valid table with a change."""
    assert START.count(old) == 1, old
    return START.replace(old, new)


def with_feature(*lines: str, name: str = "x") -> str:
    """Return the valid table with a further field, whose name is in line `LAST` + 3."""
    return "\n".join([f'{START}\n[[feature]]\nname = "{name}"\nmeaning = "m"', *lines, ""])


def test_the_small_table_is_valid() -> None:
    """The other tests change it in one place."""
    assert problems_of(START) == []


QUANTITY = 'kind = "quantity"'
CODE = 'kind = "code"\ncodes = { 1 = "one", 2 = "two" }'
WORDS = 'kind = "code"\ncodes = { low = "low", high = "high" }'
GROUPS = '\n[[group]]\nname = "women"\nwhere = { sex = ["f"] }\n'
CODING = f"""{with_feature(CODE)}
[[coding]]
name = "small"
description = "own"

[[coding]]
name = "other"
description = "o"
"""
CODING_LINES = CODING.count("\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = ", ["1: is not TOML: Invalid value"]),
        ('name = "a"\n\nname = "b"\n', ["3: is not TOML: Cannot overwrite a value"]),
        ("a = 1\nb = [\n", ["2: is not TOML: Invalid value"]),
        ("", [f"1: {key} is required" for key in ("feature", "name", "outcome", "version")]),
        (changed('"small"', '"Small"'), ["1: name must be lower-case letters, digits and hyphens, beginning with"]),
        (changed('"1"', '"1 2"'), ["2: version must be letters, digits, and any of . _ / -"]),
        (changed('"small"', "5"), ["1: name: expected a string, got a whole number"]),
        (changed("[0]", "[]"), ["6: negative needs at least one value of the outcome"]),
        (changed("[0]", "[1]"), ["7: 1 cannot be positive and negative"]),
        (changed("[0]", "0"), ["6: negative: expected array, got a whole number"]),
        (changed('meaning = "death"\n', ""), ["4: outcome: meaning is required"]),
        (changed('"died"', '"Age"'), ["5: the outcome's column Age is a field of the record"]),
        (changed('"death"', '"death"\nevnt = "e"'), ["9: unknown key evnt; there are column, positive, negative"]),
        (
            changed('name = "age"', 'name = "patient-id"'),
            ["11: patient-id: a name must be", "11: patient-id: the name"],
        ),
        (changed('name = "age"', 'name = "1st"'), ["11: 1st: a name must be letters, digits and underscores"]),
        (changed('name = "sex"', 'name = "age"'), ["18: age: age is also a name or alias of age"]),
        (with_feature(CODE, 'aliases = ["Sex?"]'), [f"{LAST + 7}: x: Sex? is also a name or alias of sex"]),
        (with_feature(CODE, 'aliases = ["Coding"]'), [f"{LAST + 7}: Coding: the name coding is reserved"]),
        (with_feature('kind = "number"'), [f"{LAST + 5}: kind: invalid enum value 'number'"]),
        (with_feature(QUANTITY), [f"{LAST + 5}: x: a quantity needs limits = [lowest, highest]"]),
        (with_feature(QUANTITY, "limits = [5, 5]"), [f"{LAST + 6}: x: the first limit must be below the second"]),
        (with_feature(QUANTITY, "limits = [5]"), [f"{LAST + 6}: limits: expected array of length 2, got 1"]),
        (with_feature(QUANTITY, "limits = [0, 9]", "ordered = true"), [f"{LAST + 7}: x: a quantity has no ordered"]),
        (with_feature(QUANTITY, "limits = [0, 9]", "missing = [9]"), [f"{LAST + 7}: x: 9 is a valid value; it cannot"]),
        (with_feature(CODE, "limits = [0, 9]"), [f"{LAST + 7}: x: a code has no limits"]),
        (with_feature(CODE, 'notes = { 7 = "none" }'), [f"{LAST + 7}: x: notes has 7, which is not a code"]),
        (with_feature(QUANTITY, "limits = [0, 9]", 'notes = { 7 = "x" }'), [f"{LAST + 7}: x: a quantity has no notes"]),
        (with_feature(CODE, "whole = true"), [f"{LAST + 7}: x: a code is always whole"]),
        (with_feature(CODE, "missing = [2]"), [f"{LAST + 7}: x: 2 is a valid value; it cannot mean missing as well"]),
        (with_feature(CODE, 'texts = { 3 = ["three"] }'), [f"{LAST + 7}: x: texts has 3, which is not a code"]),
        (
            with_feature(CODE, 'texts = { 1 = ["a b"], 2 = ["A-B"] }'),
            [f"{LAST + 7}: x: ab stand for more than one code"],
        ),
        (with_feature('kind = "code"', 'codes = { 1 = "one" }'), [f"{LAST + 6}: x: a code needs at least two codes"]),
        (
            with_feature('kind = "code"', 'codes = { 1 = "one", 100 = "many" }'),
            [f"{LAST + 6}: x: codes must be whole numbers from 0 to 99, or texts"],
        ),
        (with_feature('kind = "flag"', 'codes = { 0 = "no", 1 = "yes" }'), [f"{LAST + 6}: x: a flag has no codes"]),
        (with_feature(WORDS, "missing = [-9]"), [f"{LAST + 7}: x: codes that are texts have no missing"]),
        (
            with_feature(CODE, 'hints = [{ from = 9, to = 8, text = "t" }]'),
            [f"{LAST + 7}: x: the start of a hint must"],
        ),
        (with_feature(CODE, "hints = [{ from = 8, to = 9 }]"), [f"{LAST + 7}: x: a hint needs a text, or foreign"]),
        (with_feature(CODE, 'hints = [{ from = 1, to = 2, text = "t" }]'), [f"{LAST + 7}: x: 1 to 2 are valid values"]),
        (
            f"{START}\n[gaps]\nall = []\nage = ['age']\n",
            [f"{LAST + 3}: all has no fields", f"{LAST + 4}: age: not opt"],
        ),
        (f'common_gap = "none"\n{with_feature(CODE)}[gaps]\nx = ["x"]\n', ["1: none is not one of the gaps"]),
        (f"{START}{GROUPS.replace('sex', 'age')}", [f"{LAST + 4}: age must be a required field with codes"]),
        (f"{START}{GROUPS.replace('[', '[1, ', 3)[:-1]}", [f"{LAST + 2}: is not TOML"]),
        (
            f"{START}{GROUPS.replace(chr(34) + 'f' + chr(34), chr(34) + 'w' + chr(34))}",
            [f"{LAST + 4}: sex has only the"],
        ),
        (f"{START}{GROUPS}", [f"{LAST + 2}: patients with sex = m are in no group"]),
        (
            f"{START}{GROUPS}{GROUPS}",
            [f"{LAST + 2}: patients with sex = f are in several groups", f"{LAST + 2}: patien"],
        ),
        (f'{START}\n[[subgroup]]\nname = "s"\nfield = "bmi"\nbelow = 3\n', [f"{LAST + 4}: bmi is not a field"]),
        (f'{START}\n[[subgroup]]\nname = "s"\nfield = "sex"\ncodes = ["x"]\n', [f"{LAST + 5}: sex has only the codes"]),
        (f'{START}\n[[subgroup]]\nname = "s"\nfield = "sex"\n', [f"{LAST + 2}: s: give either codes, or at_least and"]),
        (f"{START}\n[example]\nage = 17\n", [f"{LAST + 3}: the example: age = 17 is not a valid value"]),
        (f"{START}\n[example]\nbmi = 17\n", [f"{LAST + 3}: the example: bmi is not a field"]),
        (f"{CODING}maps = {{ x = {{ 7 = 1 }} }}\n", []),
        (
            f"{CODING}maps = {{ x = {{ a = 1 }} }}\n",
            [f"{CODING_LINES + 1}: x: the codes of a coding are whole numbers"],
        ),
        (
            f"{CODING}maps = {{ x = {{ 7 = 9 }} }}\n",
            [f"{CODING_LINES + 1}: x: 7 maps to 9, which is not a code of the"],
        ),
        (
            f"{CODING}maps = {{ sex = {{ 7 = 1 }} }}\n",
            [f"{CODING_LINES + 1}: sex: a coding cannot map codes that are te"],
        ),
        (f"{CODING}maps = {{ age = {{ 7 = 1 }} }}\n", [f"{CODING_LINES + 1}: age is not a field with codes"]),
        (f"{CODING}positive = [3]\nnegative = []\n", [f"{CODING_LINES + 2}: negative needs at least one value"]),
        (CODING.replace('"other"', '"small"'), [f"{CODING_LINES - 6}: 2 codings have the name small"]),
    ],
)
def test_a_problem_has_its_line(text: str, expected: list[str]) -> None:
    """Each rule is reported at the line of the key that breaks it."""
    found = problems_of(text)
    assert len(found) == len(expected), found
    assert [problem[: len(start)] for problem, start in zip(found, expected, strict=True)] == expected


def test_a_required_field_cannot_be_missing_in_a_coding() -> None:
    """A code of another coding may mean "not measured" for optional fields only."""
    required = CODING.replace(CODE, f"{CODE}\nrequired = true")
    text = f'{required}maps = {{ x = {{ 7 = "missing" }} }}\n'
    assert problems_of(text) == [f"{text.count(chr(10))}: x: 7 cannot mean missing, as the field is required"]


def test_all_problems_are_found_at_once() -> None:
    """Those of form, such as unknown keys, and those of content, in the order of the lines."""
    text = changed("limits = [18, 110]", "limits = [110, 18]\nunits = 3").replace('"small"', '"S"') + "\n[[feature]]\n"
    text = text.replace("positive = [1]", "positive = [0]")
    assert [int(problem.split(":")[0]) for problem in problems_of(f'{text}name = "y"\n')] == [14, 15, 25, 25]
    complete = f'{text}name = "y"\nmeaning = "m"\nkind = "quantity"\n'
    assert [int(problem.split(":")[0]) for problem in problems_of(complete)] == [1, 7, 14, 15, 28]


def test_too_many_fields_are_refused() -> None:
    """At the first field, or at the first optional one beyond the limit."""
    flags = [f'\n[[feature]]\nname = "f{number}"\nmeaning = "m"\nkind = "flag"\n' for number in range(MOST_FEATURES)]
    required = "".join(f"{flag}required = true\n" for flag in flags)
    assert problems_of(START + required) == [
        f"10: there must be 1 to {MOST_FEATURES} features, not {MOST_FEATURES + 2}"
    ]
    optional = START + "".join(flags[: MOST_OPTIONAL + 1])
    line = optional[: optional.index(f'name = "f{MOST_OPTIONAL}"')].count("\n")
    expected = f"{line}: {MOST_OPTIONAL + 1} features may be missing, at most {MOST_OPTIONAL} can; set required = true"
    assert problems_of(optional) == [f"{expected} on others"]


def test_a_file_that_is_not_utf8_is_refused() -> None:
    """With the line of the first bytes that are not."""
    with pytest.raises(InvalidTableError, match=r"^t.toml:2: is not UTF-8 text$"):
        read_table(b"# a\n# \xff", "t.toml")


def test_problems_are_a_data_error() -> None:
    """Commands end with the exit code of invalid data."""
    assert issubclass(InvalidTableError, DataError)


def test_codes_are_whole_numbers_only_in_their_usual_notation() -> None:
    """Codes such as 01 and 02 are texts: as numbers they would be other codes."""
    table = read_table(with_feature('kind = "code"', 'codes = { 01 = "one", 02 = "two" }').encode(), "t")
    assert table.by_name["x"].labels == ("01", "02")


@pytest.mark.parametrize("count", [0, 1, 2])
def test_gaps_are_by_default_each_optional_field_and_all(count: int) -> None:
    """The common one is the largest."""
    names = ["x", "y"][:count]
    text = START + "".join(with_feature(CODE, name=name).removeprefix(START) for name in names)
    table = read_table(text.encode(), "t")
    gaps = {name: (name,) for name in names} | ({"all optional": tuple(names)} if count > 1 else {})
    assert (table.gaps, table.common_gap) == (gaps, ["", "x", "all optional"][count])


def test_the_built_in_table_is_a_file_like_any_other() -> None:
    """Read again, it is the same table, with the same digest."""
    table = read_table(BUILTIN.read_bytes(), BUILTIN.name)
    assert (table, table.digest) == (UCI_HEART, UCI_HEART.digest)


@each_table
def test_canonical_json_round_trips(compiled: CompiledTable) -> None:
    """The table in a model directory equals the one that was read, to the byte, and is valid."""
    table = compiled.table
    again = FeatureTable.from_json(table.as_json())
    assert (again, again.as_json(), again.digest, table_problems(again)) == (table, table.as_json(), table.digest, [])


def test_tables_that_differ_have_other_digests() -> None:
    """However little they differ."""
    other = read_table(changed("110", "111").encode(), "t")
    assert read_table(START.encode(), "t").digest != other.digest
    assert read_table(f"# a comment\n{START}".encode(), "t").digest == read_table(START.encode(), "t").digest


@each_table
@given(st.data())
def test_only_a_valid_record_is_an_example(compiled: CompiledTable, data: st.DataObject) -> None:
    """What the check of a table accepts as its example, validation accepts as a record."""
    table = compiled.table
    feature = data.draw(st.sampled_from(table.features))
    value = data.draw(st.sampled_from([None, "", "x", 0, 1, 1.5, -9, 4, *feature.sent, *feature.interval]))
    example = {**table.example, feature.name: value}
    if not table_problems(msgspec.structs.replace(table, example=example)):
        assert isinstance(compiled.records.validate(msgspec.json.encode(example)), PatientRecord)
