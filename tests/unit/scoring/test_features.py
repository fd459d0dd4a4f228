"""The vectorised validation applies exactly the limits of the feature table."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.tables.feature_table import Feature
from scoring.compiled_table import CompiledTable
from scoring.features import Matrix
from tests.support.examples import accepted
from tests.support.models import as_value, random_rows
from tests.support.tables import TEXT_CODES
from tests.support.uci import (
    FEATURE_NAMES,
    FEATURES,
    UCI,
    PatientRecord,
    as_matrix,
    blank_missing,
    legal_rows,
    validate,
)

COMPLETE = json.loads(dict(accepted())["complete"])
ROW = [float(COMPLETE[name]) for name in FEATURE_NAMES]
ROWS = {id(UCI): ROW, id(TEXT_CODES): [float(each.interval[0]) for each in TEXT_CODES.table.features]}
"""A valid row of each table."""
each_feature = pytest.mark.parametrize(
    ("compiled", "feature"),
    [(compiled, feature) for compiled in (UCI, TEXT_CODES) for feature in compiled.table.features],
    ids=[*FEATURE_NAMES, *(f"text_codes-{name}" for name in TEXT_CODES.table.names)],
)
NUMBERS = (
    st.none()
    | st.sampled_from([-9.0, 0.0, -0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 110.0, 1e308, -1e308, 5e-324])
    | st.integers(-20, 1100).map(float)
    | st.floats(allow_nan=False, allow_infinity=False)
)


def legal(compiled: CompiledTable, feature: Feature, value: float) -> bool:
    """Return whether the check accepts a valid record in which one field has this value."""
    matrix = np.array([ROWS[id(compiled)]])
    matrix[0, compiled.table.names.index(feature.name)] = value
    return bool(compiled.matrix.legal_rows(matrix)[0])


@each_feature
def test_limits_are_valid_and_values_beyond_them_are_not(compiled: CompiledTable, feature: Feature) -> None:
    """The interval is closed, exact to the next float64."""
    low, high = feature.interval
    inside = [legal(compiled, feature, low), legal(compiled, feature, high)]
    beyond = [math.nextafter(low, -math.inf), math.nextafter(high, math.inf), low - 1, high + 1]
    assert (inside, [legal(compiled, feature, value) for value in beyond]) == ([True, True], [False] * 4)


@each_feature
def test_only_listed_codes_are_valid(compiled: CompiledTable, feature: Feature) -> None:
    """Of the integers around a field's codes only the codes are valid."""
    if feature.codes:
        codes = {code for code, _ in feature.codes}
        assert sorted(codes) == [number for number in range(-10, 20) if legal(compiled, feature, number)]
    else:
        low, high = feature.interval
        assert [legal(compiled, feature, number) for number in (low - 1, low, high, high + 1)] == [
            False,
            True,
            True,
            False,
        ]


@each_feature
def test_fractions_are_valid_only_in_real_valued_fields(compiled: CompiledTable, feature: Feature) -> None:
    """Fields of whole numbers reject any fraction."""
    low, high = feature.interval
    fractions = [low + 0.5, high - 0.5, math.nextafter(low, math.inf)]
    assert [not (feature.whole or feature.codes)] * 3 == [legal(compiled, feature, value) for value in fractions]


@each_feature
def test_required_field_may_not_be_missing(compiled: CompiledTable, feature: Feature) -> None:
    """A missing value is valid if and only if the field is optional."""
    assert (not feature.required) == legal(compiled, feature, math.nan)


@each_feature
def test_infinity_is_invalid(compiled: CompiledTable, feature: Feature) -> None:
    """No limit admits infinity."""
    assert [legal(compiled, feature, math.inf), legal(compiled, feature, -math.inf)] == [False, False]


@each_feature
def test_blanking_follows_the_table(compiled: CompiledTable, feature: Feature) -> None:
    """A number is replaced by NaN if and only if the table lists it as "not measured" for that field."""
    numbers = [float(number) for number in range(-20, 20)]
    place = compiled.table.names.index(feature.name)
    matrix = np.tile(np.array(ROWS[id(compiled)]), (len(numbers), 1))
    matrix[:, place] = numbers
    compiled.matrix.blank_missing(matrix)
    blanked = np.isnan(matrix[:, place]).tolist()
    assert [number in feature.missing for number in numbers] == blanked


def test_blanking_changes_no_other_number() -> None:
    """Only codes for "not measured" are replaced."""
    matrix = np.array([ROW, ROW])
    matrix[1, FEATURE_NAMES.index("chol")] = 0
    expected = matrix.copy()
    expected[1, FEATURE_NAMES.index("chol")] = np.nan
    blank_missing(matrix)
    np.testing.assert_array_equal(expected, matrix)


@given(st.dictionaries(st.integers(0, len(FEATURES) - 1), NUMBERS, min_size=1, max_size=3))
def test_check_agrees_with_validate_on_numbers(changes: dict[int, float | None]) -> None:
    """The fast check accepts a row of numbers if and only if the slow path does."""
    matrix = np.array([ROW])
    for j, number in changes.items():
        matrix[0, j] = math.nan if number is None else number
    expected = isinstance(validate(as_value("p", matrix[0].tolist())), PatientRecord)
    blank_missing(matrix)
    assert expected == bool(legal_rows(matrix)[0])


def test_a_text_is_the_position_of_its_code() -> None:
    """Null becomes NaN, and a text that is not a code an invalid number."""
    record = TEXT_CODES.records.type("p", **{**dict.fromkeys(TEXT_CODES.table.names), "ward": "surgical"})
    row = [math.nan, 1.0, *[math.nan] * 5]
    other = TEXT_CODES.records.type("q", **{**dict.fromkeys(TEXT_CODES.table.names), "ward": "1", "stays": ">=5"})
    expected = [row, [math.nan, math.inf, math.nan, 2.0, *[math.nan] * 3]]
    np.testing.assert_array_equal(expected, TEXT_CODES.matrix.as_matrix([record, other]))


def test_rows_are_validated_independently() -> None:
    """An invalid row does not invalidate its neighbours."""
    matrix: Matrix = np.tile(np.array(ROW), (len(FEATURES) + 1, 1))
    matrix[np.arange(len(FEATURES)), np.arange(len(FEATURES))] = 1e6
    assert [False] * len(FEATURES) + [True] == legal_rows(matrix).tolist()


def test_columns_are_in_the_order_of_the_table() -> None:
    """Whatever the order of a record's fields; null becomes NaN."""
    record = PatientRecord("p", **{name: float(j) for j, name in reversed(list(enumerate(FEATURE_NAMES)))})
    expected = [[float(j) for j in range(len(FEATURES))], [math.nan] * len(FEATURES)]
    empty = PatientRecord("q", **dict.fromkeys(FEATURE_NAMES))
    np.testing.assert_array_equal(expected, as_matrix([record, empty]))


def test_an_empty_batch_has_no_rows() -> None:
    """It still has 13 columns, and no invalid row."""
    matrix = as_matrix([])
    blank_missing(matrix)
    assert (matrix.shape, legal_rows(matrix).tolist()) == ((0, 13), [])


def test_generated_rows_are_valid() -> None:
    """The rows that other tests score are valid records."""
    assert legal_rows(random_rows(500)).all()
