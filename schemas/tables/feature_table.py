"""The feature table: the predictors of one kind of patient record, their units, codes, limits and common mistakes.

Everything else about a field (validation, JSON Schema, training columns, warnings, the page) is derived from this one
value. It is read from TOML (`schemas.tables.toml_file`), and a model directory contains the one it was trained with.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from schemas.errors import SettingsError
from schemas.tables.fhir import FhirCode, FhirOperation
from schemas.tables.patients import PatientGroup, Plausible, Population, Subgroup

PATIENT_ID = "patient_id"
CODING = "coding"
OutcomeValue = int | str
HORIZON: Final = re.compile(r"P([0-9]{1,4})([YMWD])")
"""The durations that an outcome can have, of those of ISO 8601."""
FLAG_CODES: Final = ((0, "no"), (1, "yes"))
_PERIODS: Final = {"Y": "year", "M": "month", "W": "week", "D": "day"}


class Kind(StrEnum):
    """How a field's number is interpreted."""

    QUANTITY = "quantity"
    """A measurement on a scale, within limits."""
    CODE = "code"
    """A label from a closed set."""


class Hint(msgspec.Struct, frozen=True):
    """A range of values that are common mistakes, and how to fix them.

    `foreign`: other codings of this data use these values (`Coding`).
    """

    lowest: float
    highest: float
    text: str = ""
    foreign: bool = False

    def matches(self, value: float) -> bool:
        """Return whether `value` is in this hint's closed interval."""
        return self.lowest <= value <= self.highest

    def is_foreign(self, value: float, kind: Kind) -> bool:
        """Return whether `value` indicates another coding; codes are whole numbers in all of them."""
        return self.foreign and self.matches(value) and (kind is Kind.QUANTITY or value == math.floor(value))


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One predictor.

    `limits` is the closed interval outside of which a quantity is rejected, in `unit`; a `whole` quantity has no
    fractions. `codes` maps each valid code to its meaning, in ascending order; models treat `ordered` codes as
    a number, others as labels. If codes are texts, `labels` has them: a record has the text, a matrix its position.
    `missing` are numbers that mean "not measured", as JSON null does. A `required` field may not be missing. `aliases`
    are other names of the field, and `texts` the words for its codes, in tabular files; case, blanks and
    punctuation are ignored. `ucum` maps UCUM codes to the factor that converts them to `unit`, for quantities
    in FHIR and on the page; `other_units` does so for further codes, and for texts of units, that only the lenient
    reading accepts; `fhir` are standard codes that mean this field. `notes` explain codes, each by what is sent.
    """

    name: str
    meaning: str
    kind: Kind
    unit: str | None = None
    whole: bool = False
    limits: tuple[float | int, float | int] | None = None
    codes: tuple[tuple[int, str], ...] = ()
    labels: tuple[str, ...] = ()
    ordered: bool = False
    missing: tuple[int, ...] = ()
    required: bool = False
    hints: tuple[Hint, ...] = ()
    aliases: tuple[str, ...] = ()
    texts: tuple[tuple[int, tuple[str, ...]], ...] = ()
    ucum: Mapping[str, float] = {}
    fhir: tuple[FhirCode, ...] = ()
    other_units: Mapping[str, float] | UnsetType = UNSET
    notes: Mapping[str, str] | UnsetType = UNSET

    @property
    def interval(self) -> tuple[float, float]:
        """The smallest closed interval that contains all valid values."""
        if self.limits is not None:
            return self.limits
        return float(self.codes[0][0]), float(self.codes[-1][0])

    @property
    def sent(self) -> tuple[int | str, ...]:
        """What stands for each code in a record."""
        return self.labels or tuple(code for code, _ in self.codes)

    @property
    def code_texts(self) -> tuple[str, ...]:
        """Each code as it is sent, and its meaning where that is another text: `F (female)`, `no`."""
        pairs = zip(self.sent, self.codes, strict=True)
        return tuple(f"{sent} ({meaning})" if meaning != str(sent) else meaning for sent, (_, meaning) in pairs)

    @property
    def is_flag(self) -> bool:
        """Whether the codes are 1 for yes and 0 for no."""
        return self.codes == FLAG_CODES

    def as_sent(self, number: float | None) -> float | str | None:
        """Return what a record has for a valid number of a matrix: None for NaN, the text of a code that is a text."""
        if number is None or math.isnan(number):
            return None
        return self.labels[int(number)] if self.labels else number

    @property
    def typical(self) -> float | str:
        """The middle of the limits, or the first code, as a record has it."""
        if self.codes:
            return self.sent[0]
        low, high = self.interval
        return (low + high) // 2 if self.whole else (low + high) / 2

    @property
    def gaps(self) -> tuple[int, ...]:
        """Whole numbers inside `interval` that are not valid codes."""
        if not self.codes:
            return ()
        legal = {code for code, _ in self.codes}
        return tuple(code for code in range(self.codes[0][0], self.codes[-1][0]) if code not in legal)


class Outcome(msgspec.Struct, frozen=True):
    """What the models predict.

    `column` is the outcome's column in labelled files, with the values that count as `positive` and `negative`; a file
    may have a `binary_column` with 1 and 0 instead, if that is not empty. `meaning` describes a positive outcome, and
    `event` names it in "patients with ...".
    `horizon` is an ISO 8601 duration such as P1Y, "" for a diagnosis at the time of the record.
    """

    column: str
    positive: tuple[OutcomeValue, ...]
    negative: tuple[OutcomeValue, ...]
    meaning: str
    event: str = "the outcome"
    horizon: str = ""
    binary_column: str = ""

    @property
    def text(self) -> str:
        """The meaning, and the horizon in words: "death within 1 year"."""
        found = HORIZON.fullmatch(self.horizon)
        if found is None:
            return self.meaning
        count, unit = int(found[1]), _PERIODS[found[2]]
        return f"{self.meaning} within {count} {unit}{'' if count == 1 else 's'}"

    @property
    def classes(self) -> dict[OutcomeValue, int]:
        """The label, 1 or 0, of each value of `column`."""
        return _classes(self.positive, self.negative)


class Coding(msgspec.Struct, frozen=True):
    """A published coding of the same data, and its map to the table's own.

    `codes` has the fields that differ, each with all of its codes: the table's code, or None for "not measured".
    `outcome` is the outcome's column in labelled copies, with its `positive` and `negative` values.
    """

    name: str
    description: str
    codes: Mapping[str, Mapping[int, int | None]]
    outcome: str
    positive: tuple[OutcomeValue, ...]
    negative: tuple[OutcomeValue, ...]

    @property
    def classes(self) -> dict[OutcomeValue, int]:
        """The label, 1 or 0, of each value of `outcome`."""
        return _classes(self.positive, self.negative)


def _classes(positive: Sequence[OutcomeValue], negative: Sequence[OutcomeValue]) -> dict[OutcomeValue, int]:
    return {**dict.fromkeys(negative, 0), **dict.fromkeys(positive, 1)}


class Form(msgspec.Struct, frozen=True):
    """The form of the web page: its `sections` of fields, and invented `examples` with which it is filled, by title."""

    sections: Mapping[str, tuple[str, ...]] = {}
    examples: Mapping[str, Mapping[str, float | int | str]] = {}


class FeatureTable(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The contract of one kind of patient record: its fields, in order, and the outcome.

    `name` and `version` identify it: the records of a topic have one table. `codings` starts with the table's own.
    Every patient belongs to one of `groups`; without any, all patients are one group. With `headerless`, published
    files of this data have no header: their columns are the fields in order, and the outcome. `example` is a valid
    record, for documentation. `gaps` are sets of optional fields that records often lack, by name: models are also
    evaluated without them; `common_gap` names the most common one. Two patients rarely agree in all fields including
    the `distinctive` ones, so equal rows are duplicates. `plausible` limits what training accepts. With `fhir`, the
    gateway takes FHIR Bundles. `form` is that of the web page.
    """

    name: str
    version: str
    title: str
    outcome: Outcome
    features: tuple[Feature, ...]
    codings: tuple[Coding, ...]
    groups: tuple[PatientGroup, ...] = ()
    population: Population = Population()
    headerless: bool = False
    example: Mapping[str, float | int | str | None] = {}
    subgroups: tuple[Subgroup, ...] = ()
    gaps: Mapping[str, tuple[str, ...]] = {}
    common_gap: str = ""
    distinctive: tuple[str, ...] = ()
    plausible: Plausible | None = None
    fhir: FhirOperation | None = None
    form: Form = Form()

    @property
    def identifier(self) -> str:
        """Name and version, as manifests and documents have them."""
        return f"{self.name}-{self.version}"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the fields, in order."""
        return tuple(feature.name for feature in self.features)

    @cached_property
    def by_name(self) -> Mapping[str, Feature]:
        """The features by the names of their fields."""
        return {feature.name: feature for feature in self.features}

    @cached_property
    def optional(self) -> tuple[int, ...]:
        """The positions of the fields that may be missing."""
        return tuple(j for j, feature in enumerate(self.features) if not feature.required)

    @property
    def own_coding(self) -> str:
        """The name of the table's own coding."""
        return self.codings[0].name

    @cached_property
    def coding_by_name(self) -> Mapping[str, Coding]:
        """The codings by name; the table's own is first."""
        return {coding.name: coding for coding in self.codings}

    @property
    def foreign_codings(self) -> tuple[str, ...]:
        """The names of the codings that are not the table's own."""
        return tuple(coding.name for coding in self.codings[1:])

    @property
    def codings_text(self) -> str:
        """The message that lists the codings."""
        return f"must be one of {', '.join(self.coding_by_name)}; the default is {self.own_coding}"

    def typical_record(self) -> dict[str, OutcomeValue | float | None]:
        """Return the fields of a valid record of nobody: the middle of each field's limits, or its first code."""
        return {feature.name: feature.typical for feature in self.features}

    def fields_of(self, row: Sequence[float]) -> dict[str, float | str | None]:
        """Return the fields of a record for a row (fields,) of a matrix; see `Feature.as_sent`."""
        return {feature.name: feature.as_sent(number) for feature, number in zip(self.features, row, strict=True)}

    def check_coding(self, name: str | None) -> None:
        """Raise SettingsError if there is no such coding; None stands for the table's own."""
        if name is not None and name not in self.coding_by_name:
            raise SettingsError((f"the coding {self.codings_text}",))

    def as_json(self) -> bytes:
        """Return the canonical form, as model directories contain it: the same table gives the same bytes."""
        content = msgspec.to_builtins(self, str_keys=True)
        return json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes) -> FeatureTable:
        """Read the canonical form. Raises msgspec.MsgspecError or UnicodeDecodeError for anything else."""
        return msgspec.json.decode(content, type=cls)

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the canonical form, in hexadecimal."""
        return hashlib.sha256(self.as_json()).hexdigest()
