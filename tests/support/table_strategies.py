"""Strategies for valid feature tables, as TOML documents."""

from __future__ import annotations

import json
import keyword
import math
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from schemas.tables.checks import MOST_OPTIONAL, is_reserved
from schemas.tables.names import normalized, normalized_word

_MOST_FIELDS: Final = 12
_NAMES: Final = st.from_regex(r"[A-Za-z][A-Za-z0-9_]{0,11}", fullmatch=True) | st.sampled_from(keyword.kwlist)
_TEXTS: Final = st.text(
    st.characters(codec="utf-8", exclude_characters='"\\'), min_size=1, max_size=8
) | st.sampled_from(["<5", ">=5", "none", "NA", "0", "1", "01", "1+", "ICU", "true"])
"""Without quotes, as a record with one takes the slow path."""


def _quantities() -> SearchStrategy[dict[str, Any]]:
    def limited(pair: tuple[float, float], *, whole: bool) -> dict[str, Any]:
        low, high = sorted(pair)
        return {"kind": "quantity", "limits": [low, high]} | ({"whole": True} if whole else {})

    wholes = st.tuples(st.integers(-50, 50), st.integers(51, 500)).map(lambda pair: limited(pair, whole=True))
    decimals = st.tuples(st.floats(-50, 50), st.floats(51, 500)).map(lambda pair: limited(pair, whole=False))
    return wholes | decimals


def _codes() -> SearchStrategy[dict[str, Any]]:
    numbers = st.sets(st.integers(0, 99), min_size=2, max_size=8).map(lambda codes: [*map(str, sorted(codes))])
    texts = st.lists(_TEXTS, min_size=2, max_size=6, unique_by=normalized_word)
    return st.builds(
        lambda codes, ordered: {"kind": "code", "codes": dict.fromkeys(codes, "m"), "ordered": ordered},
        numbers | texts.filter(lambda codes: not all(code.lstrip("-").isdigit() for code in codes)),
        st.booleans(),
    )


@st.composite
def _features(draw: DrawFn, name: str, *, required: bool) -> dict[str, Any]:
    feature = draw(_quantities() | _codes() | st.just({"kind": "flag"}))
    if not required and "codes" not in feature and draw(st.booleans()):
        low = feature.get("limits", [0])[0]
        feature = {**feature, "missing": [math.floor(low) - 1, -999]}
    return {"name": name, "meaning": "m", **feature, "required": required}


@st.composite
def tables(draw: DrawFn) -> dict[str, Any]:
    """Draw a valid table, as a document."""
    names = draw(st.lists(_NAMES, min_size=1, max_size=_MOST_FIELDS, unique_by=normalized))
    names = [name for name in names if not is_reserved(name) and normalized(name) not in {"", "outcome"}] or ["x"]
    optional = set(draw(st.lists(st.sampled_from(names), max_size=MOST_OPTIONAL)))
    features = [draw(_features(name, required=name not in optional)) for name in names]
    outcome = {
        "column": "outcome",
        "negative": [0],
        "positive": draw(st.sampled_from([[1], [1, 2], ["yes"]])),
        "meaning": "m",
    }
    return {"name": "random", "version": "1", "outcome": outcome, "feature": features}


def written_toml(document: dict[str, Any]) -> str:
    """Write a document as TOML: JSON's strings, numbers and arrays are valid in it."""
    scalars = [f"{key} = {_value(value)}" for key, value in document.items() if isinstance(value, str)]
    outcome = [f"{key} = {_value(value)}" for key, value in document["outcome"].items()]
    blocks = [
        "\n".join(["[[feature]]", *(f"{key} = {_value(value)}" for key, value in feature.items())])
        for feature in document["feature"]
    ]
    return "\n".join([*scalars, "[outcome]", *outcome, *blocks, ""])


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_value(key)} = {_value(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
