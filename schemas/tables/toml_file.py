"""Reading a feature table from TOML, with all of its problems at once, each with its line.

docs/feature-table.md describes the file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from schemas.errors import DataError, DependencyError
from schemas.tables.checks import Keys, Problem, feature_problems, table_problems
from schemas.tables.feature_table import (
    FLAG_CODES,
    PATIENT_ID,
    Coding,
    Feature,
    FeatureTable,
    Form,
    Hint,
    Kind,
    Outcome,
)
from schemas.tables.fhir import FhirOperation
from schemas.tables.patients import PatientGroup, Plausible, Population, Subgroup
from schemas.tables.toml_lines import TomlLines
from schemas.tables.toml_specs import (
    FLAG_TEXTS,
    CodingSpec,
    FeatureSpec,
    FhirSpec,
    GroupSpec,
    SubgroupSpec,
    TableSpec,
    default_distinctive,
    default_gaps,
)

_MISSING: Final = "missing"
"""What a coding's map has for a code that means "not measured"."""
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]*")
_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")
_REQUIRED: Final = ("name", "version", "outcome", "feature")
_OWN_CODING: Final = "as in the feature table"
_Spec = TypeVar("_Spec", bound=msgspec.Struct)


class InvalidTableError(DataError):
    """A feature table with problems; `problems` has a line of text for each, with its line in the file."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        """`problems` is not empty."""
        super().__init__("\n".join(problems))
        self.problems = problems


def read_table(content: bytes, source: str) -> FeatureTable:
    """Return the table in a TOML file. Raises InvalidTableError; `source` is the file's name in its texts."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidTableError((f"{source}:{line}: is not UTF-8 text",)) from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _TOML_PLACE.search(str(error))
        line = int(place[1] or text.rstrip().count("\n") + 1) if place else 1
        raise InvalidTableError((f"{source}:{line}: is not TOML: {_TOML_PLACE.sub('', str(error))}",)) from error
    reader = _Reader()
    table = reader.table(document)
    problems = [*reader.problems, *(table_problems(table) if reader.is_complete else [])]
    if problems:
        lines = TomlLines(text, document)
        placed = sorted((lines.of(problem.path), problem.text) for problem in problems)
        raise InvalidTableError(tuple(f"{source}:{line}: {text}" for line, text in placed))
    return table


def read_table_file(path: Path) -> FeatureTable:
    """Return the table in a TOML file. Raises DependencyError if it cannot be read, and InvalidTableError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error
    return read_table(content, path.name)


class _Reader:
    """Converts the parsed document, and collects the problems of its form; each key is converted by itself.

    `is_complete` says whether the table has all that the file describes, so that it can be checked as a whole.
    """

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.is_complete = True

    def table(self, document: Mapping[str, Any]) -> FeatureTable:
        self._check_required(document)
        # Its parts are read even if it has problems itself.
        spec = self._spec(TableSpec, document, ()) or TableSpec()
        outcome = self._spec(Outcome, spec.outcome, ("outcome",)) if spec.outcome else None
        population = self._spec(Population, spec.population, ("population",))
        plausible = spec.plausible and self._spec(Plausible, spec.plausible, ("plausible",))
        features = self._specs(FeatureSpec, spec.feature, "feature")
        groups = self._specs(GroupSpec, spec.group, "group").values()
        subgroups = self._specs(SubgroupSpec, spec.subgroup, "subgroup").values()
        codings = self._specs(CodingSpec, spec.coding, "coding")
        fhir = None if spec.fhir is None else self._spec(FhirSpec, spec.fhir, ("fhir",))
        form = self._spec(Form, spec.form, ("form",))
        by_place = {place: self._feature(each, ("feature", place)) for place, each in features.items()}
        if not self.is_complete or outcome is None or population is None or form is None:
            self.is_complete = False
            self.problems += [each for place, built in by_place.items() for each in feature_problems(place, built)]
            return _EMPTY
        built = tuple(by_place.values())
        by_name, gaps = {feature.name: feature for feature in built}, spec.gaps or default_gaps(built)
        return FeatureTable(
            name=spec.name,
            version=spec.version,
            title=spec.title or spec.name,
            headerless=spec.headerless,
            example=_example(spec.example, built),
            subgroups=tuple(_subgroup(each, by_name) for each in subgroups),
            gaps=gaps,
            distinctive=default_distinctive(built) if spec.distinctive is None else spec.distinctive,
            plausible=plausible or None,
            common_gap=spec.common_gap or ("" if spec.gaps else next(reversed(gaps), "")),
            outcome=outcome,
            population=population,
            features=built,
            groups=tuple(_group(each, by_name) for each in groups),
            codings=tuple(self._coding(each, ("coding", i), outcome) for i, each in codings.items())
            or (Coding(spec.name, _OWN_CODING, {}, outcome.column, outcome.positive, outcome.negative),),
            fhir=None if fhir is None else _fhir(fhir, outcome, by_name),
            form=form,
        )

    def _check_required(self, document: Mapping[str, Any]) -> None:
        for key in [key for key in _REQUIRED if key not in document]:
            self._add((), f"{key} is required")
            self.is_complete = False

    def _specs(self, kind: type[_Spec], found: Sequence[Mapping[str, Any]], key: str) -> dict[int, _Spec]:
        """Convert an array of tables; return those that have the right form, by their place."""
        specs = {place: self._spec(kind, each, (key, place)) for place, each in enumerate(found)}
        return {place: spec for place, spec in specs.items() if spec is not None}

    def _spec(self, kind: type[_Spec], found: Mapping[str, Any], path: Keys) -> _Spec | None:
        """Convert a table of the document, key by key; None if a value is wrong or a required key is absent."""
        fields = _fields(kind)
        values: dict[str, Any] = {}
        absent = [key for key, field in fields.items() if field.required and key not in found]
        for key in absent:
            self._add(path, f"{_named(path)}{key} is required")
        for key, raw in found.items():
            if key not in fields:
                self._add((*path, key), f"unknown key {key}; there are {', '.join(fields)}")
                continue
            try:
                values[fields[key].name] = msgspec.convert(raw, fields[key].type)
            except msgspec.ValidationError as error:
                self._add((*path, key), f"{key}: {_plain(error)}")
                absent.append(key)
        self.is_complete &= not absent
        return None if absent and kind is not TableSpec else kind(**values)

    def _feature(self, spec: FeatureSpec, path: Keys) -> Feature:
        codes, labels, texts = self._codes(spec, path)
        if spec.kind == "flag":
            codes, texts = FLAG_CODES, FLAG_TEXTS
            for key in ("codes", "texts", "limits", "ordered"):
                if getattr(spec, key):
                    self._add((*path, key), f"{spec.name}: a flag has no {key}")
        return Feature(
            name=spec.name,
            meaning=spec.meaning,
            kind=Kind.QUANTITY if spec.kind == "quantity" else Kind.CODE,
            unit=spec.unit,
            whole=spec.whole,
            limits=spec.limits,
            codes=codes,
            labels=labels,
            ordered=spec.ordered,
            missing=spec.missing,
            required=spec.required,
            hints=tuple(Hint(each.lowest, each.highest, each.text, each.foreign) for each in spec.hints),
            aliases=spec.aliases,
            texts=texts,
            ucum=spec.ucum,
            fhir=spec.fhir,
            other_units=spec.other_units,
            notes=spec.notes,
        )

    def _codes(
        self, spec: FeatureSpec, path: Keys
    ) -> tuple[tuple[tuple[int, str], ...], tuple[str, ...], tuple[tuple[int, tuple[str, ...]], ...]]:
        """Return the codes, the labels of codes that are texts, and the words for codes in files."""
        labels = () if all(map(_is_integer, spec.codes)) else tuple(spec.codes)
        numbers = {key: place if labels else int(key) for place, key in enumerate(spec.codes)}
        for key in spec.texts.keys() - spec.codes.keys():
            self._add((*path, "texts"), f"{spec.name}: texts has {key}, which is not a code")
        texts = {number: spec.texts.get(key, ()) for key, number in numbers.items()}
        if labels:
            texts = {number: (key, *texts[number]) for key, number in numbers.items()}
        codes = {numbers[key]: meaning for key, meaning in spec.codes.items()}
        return (
            tuple(sorted(codes.items())),
            labels,
            tuple((code, words) for code, words in sorted(texts.items()) if words),
        )

    def _coding(self, spec: CodingSpec, path: Keys, own: Outcome) -> Coding:
        maps: dict[str, dict[int, int | None]] = {}
        for name, codes in spec.maps.items():
            if wrong := [key for key in codes if not _is_integer(key)]:
                self._add((*path, "maps", name), f"{name}: the codes of a coding are whole numbers, not {wrong[0]}")
                continue
            maps[name] = {int(key): None if ours == _MISSING else int(ours) for key, ours in codes.items()}
        classes = spec if spec.positive or spec.negative else own
        column = spec.outcome or own.column
        return Coding(spec.name, spec.description, maps, column, classes.positive, classes.negative)

    def _add(self, path: Keys, text: str) -> None:
        self.problems.append(Problem(path, text))


def _example(
    given: Mapping[str, float | int | str], features: Sequence[Feature]
) -> dict[str, float | int | str | None]:
    """Return a record with the given values; by default those are typical ones."""
    return {
        PATIENT_ID: "example-1",
        **{each.name: each.typical for each in features if each.codes or each.limits},
        **given,
    }


def _group(spec: GroupSpec, features: Mapping[str, Feature]) -> PatientGroup:
    return PatientGroup(spec.name, {name: _numbers(name, codes, features) for name, codes in spec.where.items()})


def _subgroup(spec: SubgroupSpec, features: Mapping[str, Feature]) -> Subgroup:
    codes = _numbers(spec.field, spec.codes, features)
    return Subgroup(spec.name, spec.field, codes, spec.at_least, spec.below)


def _fhir(spec: FhirSpec, outcome: Outcome, features: Mapping[str, Feature]) -> FhirOperation:
    meaning = outcome.text
    genders = dict(zip(spec.genders, _numbers(spec.gender, tuple(spec.genders.values()), features), strict=True))
    title, text = spec.title or f"Risk of {meaning}", spec.outcome or meaning[:1].upper() + meaning[1:]
    return FhirOperation(spec.operation, title, text, spec.age, spec.gender, genders)


def _numbers(name: str, codes: Sequence[int | str], features: Mapping[str, Feature]) -> tuple[int, ...]:
    """Return codes with texts replaced by their numbers; -1 for other texts."""
    labels = features[name].labels if name in features else ()
    return tuple(code if isinstance(code, int) else labels.index(code) if code in labels else -1 for code in codes)


def _is_integer(key: str) -> bool:
    return _INTEGER.fullmatch(key) is not None


@cache
def _fields(kind: type[msgspec.Struct]) -> Mapping[str, msgspec.structs.FieldInfo]:
    """Return the fields of a table of the document, by their keys."""
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


def _plain(error: msgspec.ValidationError) -> str:
    """Return msgspec's message in the words of TOML."""
    text = str(error)
    for theirs, ours in (("`str`", "a string"), ("`int`", "a whole number"), ("`float`", "a number")):
        text = text.replace(theirs, ours)
    for theirs, ours in (("Object contains unknown field", "unknown key"), ("Object missing required field", "no key")):
        text = text.replace(theirs, ours)
    return (text[:1].lower() + text[1:]).replace("`", "").replace("object", "table")


def _named(path: Keys) -> str:
    return "".join(f"{part}" if isinstance(part, str) else f" {part + 1}: " for part in path) + (
        ": " if path and isinstance(path[-1], str) else ""
    )


_EMPTY: Final = FeatureTable(name="", version="", title="", outcome=Outcome("", (), (), ""), features=(), codings=())
"""Stands for a table that has not the form of one."""
