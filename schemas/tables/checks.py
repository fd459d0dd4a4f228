"""What must hold in a feature table beyond its form."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import inf, prod
from typing import Final, NamedTuple

from msgspec import UNSET

from schemas.tables.feature_checks import is_valid_value, problems_of
from schemas.tables.feature_table import CODING, HORIZON, PATIENT_ID, Feature, FeatureTable, Kind
from schemas.tables.fhir import FhirOperation
from schemas.tables.names import normalized

Keys = tuple[str | int, ...]
MOST_FEATURES: Final = 200
MOST_OPTIONAL: Final = 62
"""The set of missing fields is one integer of 64 bits."""
_MOST_COMBINATIONS: Final = 10_000
TABLE_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,39}")
_VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,39}")
_FIELD_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
_OPERATION: Final = re.compile(r"[a-z][a-z0-9-]{0,63}")
_RESERVED: Final = (PATIENT_ID, CODING, "site", "num", "record")
"""Members of every record, columns of every frame of patients in training, and the tensor that is a whole record."""


def is_reserved(name: str) -> bool:
    """Return whether no field can have this name: it differs from a reserved one in case and punctuation at most."""
    return normalized(name) in map(normalized, _RESERVED)


class Problem(NamedTuple):
    """A problem, and the path of the key in the document that it concerns."""

    path: Keys
    text: str


def table_problems(table: FeatureTable) -> list[Problem]:
    """Return all problems of a table."""
    problems = [
        *_identity(table),
        *_names(table),
        *_outcome(table),
        *_gaps(table),
        *_distinctive(table),
        *_groups(table),
        *_subgroups(table),
        *_codings(table),
        *_sections(table),
        *_fhir(table),
    ]
    for place, feature in enumerate(table.features):
        problems += feature_problems(place, feature)
    return problems or list(_example(table))


def feature_problems(place: int, feature: Feature) -> list[Problem]:
    """Return the problems of the feature at a place of the table that do not concern others."""
    return [Problem(("feature", place, key), f"{feature.name}: {text}") for key, text in problems_of(feature)]


def _example(table: FeatureTable) -> Iterator[Problem]:
    expected = (PATIENT_ID, *table.names)
    if wrong := [name for name in expected if name not in table.example]:
        yield Problem(("example",), f"the example has no {', '.join(wrong)}")
    yield from _invalid(table, ("example",), "the example", table.example)
    for title, values in table.form.examples.items():
        at, name = ("form", "examples", title), f"the example {title}"
        if wrong := [each.name for each in table.features if each.required and each.name not in values]:
            yield Problem(at, f"{name} has no {', '.join(wrong)}")
        yield from _invalid(table, at, name, values)


def _invalid(
    table: FeatureTable, at: Keys, example: str, values: Mapping[str, float | str | None]
) -> Iterator[Problem]:
    for name, value in values.items():
        if name not in (PATIENT_ID, *table.names):
            yield Problem((*at, name), f"{example}: {name} is not a field")
        elif name != PATIENT_ID and not is_valid_value(table.by_name[name], value):
            yield Problem((*at, name), f"{example}: {name} = {value} is not a valid value")


def _sections(table: FeatureTable) -> Iterator[Problem]:
    times = Counter(name for names in table.form.sections.values() for name in names)
    for title, names in table.form.sections.items():
        at = ("form", "sections", title)
        if unknown := [name for name in names if name not in table.by_name]:
            yield Problem(at, f"{', '.join(unknown)}: not fields")
        if repeated := [name for name in names if times[name] > 1]:
            yield Problem(at, f"{', '.join(repeated)}: in several sections")


def _identity(table: FeatureTable) -> Iterator[Problem]:
    if not TABLE_NAME.fullmatch(table.name):
        yield Problem(("name",), "name must be lower-case letters, digits and hyphens, beginning with a letter")
    if not _VERSION.fullmatch(table.version):
        yield Problem(("version",), "version must be letters, digits, and any of . _ / -")
    if not 1 <= len(table.features) <= MOST_FEATURES:
        yield Problem(("feature",), f"there must be 1 to {MOST_FEATURES} features, not {len(table.features)}")
    if (optional := len(table.optional)) > MOST_OPTIONAL:
        text = f"{optional} features may be missing, at most {MOST_OPTIONAL} can; set required = true on others"
        yield Problem(("feature", table.optional[MOST_OPTIONAL]), text)


def _names(table: FeatureTable) -> Iterator[Problem]:
    taken: dict[str, str] = {normalized(name): name for name in _RESERVED}
    for place, feature in enumerate(table.features):
        at = ("feature", place)
        if not _FIELD_NAME.fullmatch(feature.name):
            text = "must be letters, digits and underscores, beginning with a letter, at most 40 characters"
            yield Problem((*at, "name"), f"{feature.name}: a name {text}")
        for key, alias in [("name", feature.name), *(("aliases", alias) for alias in feature.aliases)]:
            other = taken.setdefault(normalized(alias), feature.name)
            if other in _RESERVED:
                yield Problem((*at, key), f"{alias}: the name {other} is reserved")
            elif other != feature.name or (key == "name" and feature.name in table.names[:place]):
                yield Problem((*at, key), f"{feature.name}: {alias} is also a name or alias of {other}")


def _gaps(table: FeatureTable) -> Iterator[Problem]:
    optional = {table.names[j] for j in table.optional}
    for name, fields in table.gaps.items():
        if wrong := [field for field in fields if field not in optional]:
            yield Problem(("gaps", name), f"{', '.join(wrong)}: not optional fields")
        if not fields:
            yield Problem(("gaps", name), f"{name} has no fields")
    if table.common_gap and table.gaps and table.common_gap not in table.gaps:
        yield Problem(("common_gap",), f"{table.common_gap} is not one of the gaps")


def _distinctive(table: FeatureTable) -> Iterator[Problem]:
    if wrong := [name for name in table.distinctive if name not in table.by_name]:
        yield Problem(("distinctive",), f"{', '.join(wrong)}: not fields")


def _outcome(table: FeatureTable) -> Iterator[Problem]:
    outcome = table.outcome
    yield from _classes(("outcome",), outcome.positive, outcome.negative)
    if outcome.horizon and not HORIZON.fullmatch(outcome.horizon):
        yield Problem(("outcome", "horizon"), "horizon must be a duration such as P1Y, P6M, P4W or P30D")
    for key, column in (("column", outcome.column), ("binary_column", outcome.binary_column)):
        if normalized(column) in {normalized(name) for name in (*table.names, PATIENT_ID, CODING)}:
            yield Problem(("outcome", key), f"the outcome's column {column} is a field of the record")


def _classes(at: Keys, positive: Sequence[int | str], negative: Sequence[int | str]) -> Iterator[Problem]:
    for key, values in (("positive", positive), ("negative", negative)):
        if not values:
            yield Problem((*at, key), f"{key} needs at least one value of the outcome")
    if both := set(positive) & set(negative):
        yield Problem((*at, "positive"), f"{', '.join(map(str, both))} cannot be positive and negative")


def _groups(table: FeatureTable) -> Iterator[Problem]:
    """Check that each valid record belongs to exactly one group."""
    used = {name: None for group in table.groups for name in group.where}
    problems = []
    for place, group in enumerate(table.groups):
        for name, codes in group.where.items():
            feature = table.by_name.get(name)
            if feature is None or feature.kind is not Kind.CODE or not feature.required:
                problems.append(Problem(("group", place, "where"), f"{name} must be a required field with codes"))
            elif any(code not in dict(feature.codes) for code in codes):
                problems.append(Problem(("group", place, "where"), f"{name} has only the codes {_codes(feature)}"))
    yield from problems
    if problems or not table.groups:
        return
    if prod(len(table.by_name[name].codes) for name in used) > _MOST_COMBINATIONS:
        yield Problem(("group", 0), "the groups use fields with too many codes")
        return
    for combination in product(*([code for code, _ in table.by_name[name].codes] for name in used)):
        values = dict(zip(used, combination, strict=True))
        members = [each.name for each in table.groups if all(values[name] in its for name, its in each.where.items())]
        if len(members) != 1:
            who = ", ".join(f"{name} = {table.by_name[name].as_sent(value)}" for name, value in values.items())
            where = f"several groups: {', '.join(members)}" if members else "no group"
            yield Problem(("group", 0), f"patients with {who} are in {where}")


def _subgroups(table: FeatureTable) -> Iterator[Problem]:
    for place, each in enumerate(table.subgroups):
        at = ("subgroup", place)
        feature = table.by_name.get(each.field)
        if feature is None:
            yield Problem((*at, "field"), f"{each.field} is not a field")
        elif any(code not in dict(feature.codes) for code in each.codes):
            yield Problem((*at, "codes"), f"{each.field} has only the codes {_codes(feature)}")
        if bool(each.codes) == (each.at_least is not None or each.below is not None):
            yield Problem(at, f"{each.name}: give either codes, or at_least and below")


def _codes(feature: Feature) -> str:
    return ", ".join(feature.labels or (str(code) for code, _ in feature.codes))


def _codings(table: FeatureTable) -> Iterator[Problem]:
    for name, count in Counter(coding.name for coding in table.codings).items():
        if count > 1:
            yield Problem(("coding",), f"{count} codings have the name {name}")
    for place, coding in enumerate(table.codings):
        at = ("coding", place)
        if place == 0 and coding.codes:
            yield Problem((*at, "maps"), f"{coding.name}: the first coding is the table's own and has no maps")
        for name, codes in coding.codes.items():
            yield from (Problem((*at, "maps", name), text) for text in _map(table, name, codes))
        if coding.classes != table.outcome.classes:
            yield from _classes(at, coding.positive, coding.negative)


def _map(table: FeatureTable, name: str, codes: Mapping[int, int | None]) -> Iterator[str]:
    feature = table.by_name.get(name)
    if feature is None or feature.kind is not Kind.CODE:
        yield f"{name} is not a field with codes"
        return
    if feature.labels:
        yield f"{name}: a coding cannot map codes that are texts"
        return
    for theirs, ours in codes.items():
        if ours is None and feature.required:
            yield f"{name}: {theirs} cannot mean missing, as the field is required"
        elif ours is not None and ours not in dict(feature.codes):
            yield f"{name}: {theirs} maps to {ours}, which is not a code of the table"


def _fhir(table: FeatureTable) -> Iterator[Problem]:
    codes = Counter((each.system, each.code) for feature in table.features for each in feature.fhir)
    for place, feature in enumerate(table.features):
        at = ("feature", place)
        if table.fhir is None and (feature.fhir or feature.ucum):
            yield Problem((*at, "fhir" if feature.fhir else "ucum"), f"{feature.name}: FHIR needs a table [fhir]")
            continue
        for key, text in _fhir_feature(feature, is_sent=table.fhir is not None):
            yield Problem((*at, key), f"{feature.name}: {text}")
        for code in [each.code for each in feature.fhir if codes[each.system, each.code] > 1]:
            yield Problem((*at, "fhir"), f"{feature.name}: the code {code} is listed more than once")
    if table.fhir is not None:
        yield from (Problem(("fhir", key), text) for key, text in _fhir_operation(table, table.fhir))


def _fhir_feature(feature: Feature, *, is_sent: bool) -> Iterator[tuple[str, str]]:
    codes = (units for each in feature.fhir for units in (each.units, each.other_units))
    maps = [feature.ucum, feature.other_units, *codes]
    has_invalid = any(not 0 < factor < inf for units in maps if units is not UNSET for factor in units.values())
    if has_invalid:
        yield "ucum" if feature.ucum else "fhir", "a factor must be greater than 0"
    if feature.kind is Kind.QUANTITY:
        if is_sent and not has_invalid and 1 not in feature.ucum.values():
            yield "name", "FHIR needs ucum = { unit = 1 } for a quantity, with the UCUM code of its unit"
        if any(each.above is not None for each in feature.fhir):
            yield "fhir", "only a field with the codes 0 and 1 can say whether a quantity is above a limit"
        return
    for key, units in (("ucum", feature.ucum), ("other_units", feature.other_units)):
        if units is not UNSET and units:
            yield key, "only a quantity has units"
    is_binary = [code for code, _ in feature.codes] == [0, 1]
    for each in feature.fhir:
        if each.above is None or not is_binary:
            yield "fhir", f"{each.code}: a field with codes 0 and 1 can have a code with above = a limit, others none"
        elif not each.unit:
            yield "fhir", f"{each.code}: above needs units, one of which has the factor 1"


def _fhir_operation(table: FeatureTable, operation: FhirOperation) -> Iterator[tuple[str, str]]:
    if not _OPERATION.fullmatch(operation.operation):
        yield "operation", "operation must be lower-case letters, digits and hyphens, beginning with a letter"
    age, gender = table.by_name.get(operation.age), table.by_name.get(operation.gender)
    if operation.age and (age is None or age.kind is not Kind.QUANTITY):
        yield "age", f"{operation.age} is not a field with a quantity"
    if not operation.gender and not operation.genders:
        return
    if gender is None or gender.kind is not Kind.CODE:
        yield "gender", f"{operation.gender or 'gender'} is not a field with codes"
    elif set(operation.genders) != {"female", "male"}:
        yield "genders", "genders must be { female = a code, male = a code }"
    elif any(code not in dict(gender.codes) for code in operation.genders.values()):
        yield "genders", f"{gender.name} has only the codes {_codes(gender)}"
