"""Strategies for valid records, and for bytes that are almost a valid record."""

from __future__ import annotations

import json
import math
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from schemas.tables.builtin import UCI_HEART
from schemas.tables.feature_table import Feature, FeatureTable
from tests.support.uci import FEATURE_NAMES

Member = tuple[str, str]
"""A key and a value, both as JSON text."""

FIELDS: Final = ("patient_id", *FEATURE_NAMES)

ODD_VALUES: Final = (
    *("null", "true", "false", '"63"', '"?"', '""', "[]", "[63]", "{}", '{"age":63}', '"uci"', "[" * 99 + "]" * 99),
    *("NaN", "Infinity", "-Infinity", "nan", "inf", "1e999", "-1e999", "1" + "0" * 400, "1e-400", "-1e-400"),
    *("0", "-0", "-0.0", "-9", "-9.0", "-9e0", "9", "01", "1.", ".5", "+1", "0x10", "1_0", "1e", "1e+", "--1", "-"),
    *("5e-324", "9007199254740993", "18446744073709551616", "39.999999999999996", "110.00000000000001"),
    *("9.9999999999999999999", "10.000000000000001", "10.00000000000000001", "-5.000000000000001"),
    *("1.0000000000000002", "0.9999999999999999", "0.99999999999999999", "1.5", "2.5", "3.5", "6.03"),
    *("4", "5", "6", "7", "8", "-1", "17", "23", "110", "111", "126", "NULL", "", " ", '"'),
)
ODD_IDS: Final = (
    *('""', '" "', '"\\""', '"\\\\"', '"\\u0022"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"'),
    *('"\0"', '"\n"', '"\x7f"', '"\\x41"', '"\\/"', '"é"', '"\ud800"', "'p'", "p", "4711", "null", "[]"),
    *('"' + character * count + '"' for character in ("x", "\U0001f600", "\\u00e9") for count in (128, 129)),
)
ODD_KEYS: Final = (
    *('"Age"', '"age "', '" age"', '"ag\\u0065"', '"\\u0061ge"', '"\\"age"', '""', '"thalch"', '"restecgs"'),
    *("age", "'age'", "1", "null", '"\\ud800"', '"age\\u0000"', '"\U0001f600"', '"patient_id"', '"p\\u0061tient_id"'),
    *('"coding"', '"c\\u006fding"'),
)
ODD_CODINGS: Final = (
    '"kaggle"',
    '"kaggle-303"',
    '"kaggle-297"',
    '"statlog"',
    '"UCI"',
    '"u\\u0063i"',
    '"uci "',
    "null",
    "1",
    "[]",
    '""',
    "true",
    '"\\"uci\\""',
)
SPACES: Final = ("", "", " ", "\n", "\r\n\t")
ODD_SPACES: Final = ("\x0b", "\x0c", "\xa0", "\u2028", "\ufeff", "\0", "//\n", "/**/", ",", ":")


def legal_numbers(feature: Feature) -> SearchStrategy[float]:
    """Draw any valid number of a field."""
    low, high = feature.interval
    if feature.codes:
        return st.sampled_from([code for code, _ in feature.codes])
    if feature.whole:
        return st.integers(int(low), int(high))
    return st.floats(low, high) | st.integers(math.ceil(low * 10), math.floor(high * 10)).map(
        lambda tenths: tenths / 10
    )


def legal_values(feature: Feature) -> SearchStrategy[float | str | None]:
    """Draw any valid value of a field: a number or text, and null or a code for missing where that is allowed."""
    valid = st.sampled_from(feature.labels) if feature.labels else legal_numbers(feature)
    return valid if feature.required else valid | st.sampled_from([None, *feature.missing])


@st.composite
def notations(draw: DrawFn, value: float | str | None) -> str:
    """Draw one of the many notations of a number or text in JSON."""
    if value is None:
        return "null"
    if isinstance(value, str):
        units = value.encode("utf-16-be").hex()
        escaped = "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
        return draw(st.sampled_from([json.dumps(value), json.dumps(value, ensure_ascii=False), f'"{escaped}"']))
    if isinstance(value, float) and not value.is_integer():
        exact = [repr(value), f"{value!r}".replace("e", "E"), f"{value:.17e}", f"{value:.30f}"]
        return draw(st.sampled_from([each for each in exact if float(each) == value]))
    whole = int(value)
    written = [
        f"{whole}",
        f"{whole}.0",
        f"{whole}.000",
        f"{whole}e0",
        f"{whole}E+00",
        f"{whole}.0e-0",
        f"{whole / 100!r}e2",
    ]
    return draw(st.sampled_from([*written, "-0" if whole == 0 else f"{whole}0e-1"]))


@st.composite
def patient_ids(draw: DrawFn) -> str:
    """Draw a valid id, with or without escapes."""
    text = draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | st.just("p-1"))
    return json.dumps(text, ensure_ascii=draw(st.booleans()))


@st.composite
def legal_members(draw: DrawFn, table: FeatureTable = UCI_HEART) -> list[Member]:
    """Draw the members of a valid record, in any order."""
    members = [('"patient_id"', draw(patient_ids()))]
    members += [(f'"{f.name}"', draw(notations(draw(legal_values(f))))) for f in table.features]
    if draw(st.booleans()):
        own = table.own_coding
        members.append(('"coding"', draw(st.sampled_from([f'"{own}"', f'"{own[0]}\\u{ord(own[1]):04x}{own[2:]}"']))))
    return draw(st.permutations(members)) if draw(st.booleans()) else members


def written(members: list[Member], space: str = " ") -> bytes:
    """Serialize members as one JSON object; lone surrogates become bytes that are invalid in UTF-8."""
    text = f",{space}".join(f"{key}:{space}{value}" for key, value in members)
    return f"{space}{{{text}{space}}}{space}".encode("utf-8", "surrogatepass")


@st.composite
def legal_records(draw: DrawFn, table: FeatureTable = UCI_HEART) -> bytes:
    """Draw the bytes of a valid record."""
    return written(draw(legal_members(table)), draw(st.sampled_from(SPACES)))


def _index(draw: DrawFn, members: list[Member]) -> int:
    return draw(st.integers(0, len(members) - 1))


def _odd_value(draw: DrawFn, key: str, table: FeatureTable) -> str:
    if "patient_id" in key:
        return draw(st.sampled_from(ODD_IDS))
    if "coding" in key:
        return draw(st.sampled_from(ODD_CODINGS) | st.sampled_from(list(table.coding_by_name)).map(json.dumps))
    labels = [label for feature in table.features for label in feature.labels]
    if labels and draw(st.booleans()):
        return json.dumps(draw(st.sampled_from([*labels, labels[0].upper(), f" {labels[0]}", "1", ""])))
    number = st.floats(allow_nan=False, allow_infinity=False).map(repr) | st.integers(-20, 2000).map(str)
    return draw(st.sampled_from(ODD_VALUES) | number)


def _mutate_member(draw: DrawFn, members: list[Member], table: FeatureTable) -> None:
    """Mutate one member, in place."""
    kind = draw(st.sampled_from(["value", "value", "value", "drop", "repeat", "repeat odd", "rename", "escape", "add"]))
    i = _index(draw, members)
    key, value = members[i]
    match kind:
        case "value":
            members[i] = (key, _odd_value(draw, key, table))
        case "drop" if len(members) > 1:
            del members[i]
        case "repeat":
            members.insert(_index(draw, members), (key, value))
        case "repeat odd":
            members.insert(_index(draw, members), (_escaped(draw, key), _odd_value(draw, key, table)))
        case "rename":
            members[i] = (draw(st.sampled_from(ODD_KEYS) | st.text(max_size=12).map(json.dumps)), value)
        case "escape":
            members[i] = (_escaped(draw, key), value)
        case _:
            members.insert(i, (draw(st.sampled_from(ODD_KEYS)), draw(st.sampled_from(ODD_VALUES))))


def _escaped(draw: DrawFn, key: str) -> str:
    """Return a key with one character as an escape."""
    if not key.startswith('"') or len(key) < 3 or "\\" in key:
        return key
    i = draw(st.integers(1, len(key) - 2))
    return f"{key[:i]}\\u{ord(key[i]) & 0xFFFF:04x}{key[i + 1 :]}"


def _mutate_bytes(draw: DrawFn, value: bytes) -> bytes:
    """Mutate the bytes once."""
    i = draw(st.integers(0, len(value)))
    piece = draw(
        st.binary(min_size=1, max_size=3) | st.sampled_from([b'"', b"\\", b",", b"}", b"{", b"\xff", b"\xed\xa0\x80"])
    )
    kind = draw(st.sampled_from(["cut", "insert", "replace", "repeat", "surround"]))
    match kind:
        case "cut":
            return value[:i]
        case "insert":
            return value[:i] + piece + value[i:]
        case "replace":
            return value[:i] + piece + value[i + len(piece) :]
        case "repeat":
            return value + value
        case _:
            space = draw(st.sampled_from([b"\xef\xbb\xbf", b"\0", b"\x0b", b" ", b"[", b"\n"]))
            return space + value + draw(st.sampled_from([b"", space, b"]"]))


@st.composite
def near_records(draw: DrawFn, table: FeatureTable = UCI_HEART) -> bytes:
    """Draw the bytes of a valid record with a few mutations, or none."""
    members = list(draw(legal_members(table)))
    for _ in range(draw(st.integers(0, 3))):
        _mutate_member(draw, members, table)
    spoil = draw(st.sampled_from(["nothing"] * 6 + ["space", "bytes"]))
    value = written(members, draw(st.sampled_from(ODD_SPACES if spoil == "space" else SPACES)))
    return _mutate_bytes(draw, value) if spoil == "bytes" else value


def anything() -> SearchStrategy[bytes]:
    """Draw any bytes at all."""
    leaves = st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20)
    document = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=12), inner))
    return st.binary(max_size=200) | document.map(lambda found: json.dumps(found).encode())


def values(table: FeatureTable = UCI_HEART) -> SearchStrategy[bytes]:
    """Draw a value that a topic may hold: mostly almost valid records."""
    return st.one_of(near_records(table), near_records(table), near_records(table), legal_records(table), anything())


@st.composite
def json_objects(draw: DrawFn, table: FeatureTable = UCI_HEART) -> Any:
    """Draw a document as a JSON parser returns it: a record with a few values or fields changed, or none."""
    document: dict[str, Any] = {"patient_id": draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=128))}
    document |= {feature.name: draw(legal_values(feature)) for feature in table.features}
    if draw(st.booleans()):
        document["coding"] = draw(st.sampled_from(list(table.coding_by_name)))
    odd = st.sampled_from(
        [None, True, False, "63", "?", "", [], {}, 0, -0.0, -9, -9.0, 63.0, 1.5, 4, 10**30, "x" * 129]
    )
    number = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-20, 2000)
    for _ in range(draw(st.integers(0, 2))):
        document[draw(st.sampled_from(["patient_id", *table.names, "coding", "Age", "smoker"]))] = draw(odd | number)
    if draw(st.integers(0, 9)) == 0:
        del document[draw(st.sampled_from(sorted(document)))]
    return document
