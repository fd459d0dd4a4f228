"""The feature table is consistent in itself and with the project's reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.tables.builtin import UCI_HEART
from schemas.tables.feature_table import Feature, Kind
from tests.support.uci import FEATURE_NAMES, FEATURES

SPEC = Path(__file__).resolve().parents[4] / "shared" / "reference" / "feature_spec.json"
with_spec = pytest.mark.skipif(not SPEC.is_file(), reason="the reference table stands beside the repository only")
each_feature = pytest.mark.parametrize("feature", FEATURES, ids=FEATURE_NAMES)


def spec() -> dict[str, Any]:
    return json.loads(SPEC.read_text("utf-8"))


def spec_of(feature: Feature) -> dict[str, Any]:
    return next(entry for entry in spec()["features"] if entry["name"] == feature.name)


def numbers_of(written: str) -> list[float]:
    """Parse "0", "1..25" or ">10" into numbers that it covers."""
    if written.startswith(">"):
        return [float(written[1:]) + 1]
    return [float(number) for number in written.split("..")]


@with_spec
def test_fields_are_in_the_order_of_the_reference() -> None:
    """Version, names and order of the 13 fields are those of the reference."""
    assert (spec()["schema"], [entry["name"] for entry in spec()["features"]]) == (
        UCI_HEART.identifier,
        list(FEATURE_NAMES),
    )


@with_spec
@each_feature
def test_a_field_is_as_the_reference_defines_it(feature: Feature) -> None:
    """Unit, limits, codes, codes for missing and requirement are those of the reference."""
    entry = spec_of(feature)
    codes = [int(code) for code in entry.get("codes", {})]
    expected = (
        entry["unit"],
        entry.get("reject_outside"),
        codes,
        sorted(entry.get("missing_codes", [])),
        entry["required"],
    )
    actual = (
        feature.unit,
        feature.limits and list(feature.limits),
        [code for code, _ in feature.codes],
        sorted(feature.missing),
        feature.required,
    )
    assert expected == actual


@with_spec
@each_feature
def test_the_type_of_a_field_is_that_of_the_reference(feature: Feature) -> None:
    """A field with codes is a code; only a float in the reference may have a fraction."""
    entry = spec_of(feature)
    kind = Kind.CODE if "codes" in entry else Kind.QUANTITY
    assert (kind, entry["type"] != "float") == (feature.kind, feature.whole or bool(feature.codes))


@with_spec
@each_feature
def test_known_mistakes_have_hints(feature: Feature) -> None:
    """Each value that the reference warns of has a hint, which says whether it belongs to another coding."""
    expected = [
        (number, "Kaggle" in text or "KEEL" in text)
        for written, text in spec_of(feature).get("hint", {}).items()
        for number in numbers_of(written)
    ]
    actual = [(n, hint.foreign) for n, _ in expected for hint in feature.hints if hint.matches(n)]
    assert expected == actual


@each_feature
def test_codes_ascend(feature: Feature) -> None:
    """The interval and the gaps are derived from the codes, which must therefore be ascending and unique."""
    codes = [code for code, _ in feature.codes]
    assert sorted(set(codes)) == codes


@each_feature
def test_the_kind_matches_limits_and_codes(feature: Feature) -> None:
    """A quantity has limits and a unit but no codes; a code has codes but no limits."""
    if feature.kind is Kind.CODE:
        assert (feature.limits, bool(feature.codes), feature.whole) == (None, True, False)
    else:
        assert (feature.limits is not None, feature.codes, feature.unit is not None) == (True, (), True)


@each_feature
def test_the_code_for_missing_is_not_a_valid_value(feature: Feature) -> None:
    """A code for "not measured" cannot be mistaken for a measurement."""
    low, high = feature.interval
    assert [code for code in feature.missing if low <= code <= high] == []


@each_feature
def test_a_required_field_has_no_code_for_missing(feature: Feature) -> None:
    """A field has a code for "not measured" if and only if it may be missing."""
    assert feature.required == (feature.missing == ())


@each_feature
def test_hints_are_for_invalid_values(feature: Feature) -> None:
    """Hints exist for rejected values only, never for valid ones."""
    low, high = feature.interval
    assert [hint.text for hint in feature.hints if hint.lowest <= high and hint.highest >= low] == []


def test_gaps_are_the_numbers_between_codes() -> None:
    """Only thal has integers between its codes that are not codes."""
    assert {feature.name: feature.gaps for feature in FEATURES if feature.gaps} == {"thal": (4, 5)}
