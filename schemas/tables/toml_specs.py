"""The parts of a feature table's TOML file: their keys, types and defaults. docs/feature-table.md describes them.

Those whose keys are the fields of their own struct (`Outcome`, `Plausible`, `Population`, `Form`) are read as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType

from schemas.tables.feature_table import Feature, Kind, OutcomeValue
from schemas.tables.fhir import FhirCode

FLAG_TEXTS: Final = ((0, ("no", "n", "false", "f")), (1, ("yes", "y", "true", "t")))
"""The words for the codes of a flag in files."""
_ALL_OPTIONAL: Final = "all optional"


class HintSpec(msgspec.Struct, rename={"lowest": "from", "highest": "to"}):
    """A table of `hints`."""

    lowest: float
    highest: float
    text: str = ""
    foreign: bool = False


class FeatureSpec(msgspec.Struct):
    """A `[[feature]]`."""

    name: str
    meaning: str
    kind: Literal["quantity", "code", "flag"]
    unit: str | None = None
    whole: bool = False
    limits: tuple[float | int, float | int] | None = None
    codes: dict[str, str] = {}
    ordered: bool = False
    missing: tuple[int, ...] = ()
    required: bool = False
    hints: tuple[HintSpec, ...] = ()
    aliases: tuple[str, ...] = ()
    texts: dict[str, tuple[str, ...]] = {}
    ucum: dict[str, float] = {}
    fhir: tuple[FhirCode, ...] = ()
    other_units: dict[str, float] | UnsetType = UNSET
    notes: dict[str, str] | UnsetType = UNSET


class CodingSpec(msgspec.Struct):
    """A `[[coding]]`."""

    name: str
    description: str
    outcome: str = ""
    positive: tuple[OutcomeValue, ...] = ()
    negative: tuple[OutcomeValue, ...] = ()
    maps: dict[str, dict[str, int | Literal["missing"]]] = {}


class GroupSpec(msgspec.Struct):
    """A `[[group]]`."""

    name: str
    where: dict[str, tuple[int | str, ...]]


class SubgroupSpec(msgspec.Struct):
    """A `[[subgroup]]`."""

    name: str
    field: str
    codes: tuple[int | str, ...] = ()
    at_least: float | int | None = None
    below: float | int | None = None


class FhirSpec(msgspec.Struct):
    """The `[fhir]` operation."""

    operation: str
    title: str = ""
    outcome: str = ""
    age: str = ""
    gender: str = ""
    genders: dict[str, int | str] = {}


class TableSpec(msgspec.Struct):
    """The whole file; its parts are converted by themselves."""

    name: str = ""
    version: str = ""
    outcome: dict[str, Any] = {}
    feature: tuple[dict[str, Any], ...] = ()
    title: str = ""
    headerless: bool = False
    example: dict[str, float | int | str] = {}
    gaps: dict[str, tuple[str, ...]] = {}
    common_gap: str = ""
    distinctive: tuple[str, ...] | None = None
    plausible: dict[str, Any] | None = None
    population: dict[str, Any] = {}
    group: tuple[dict[str, Any], ...] = ()
    subgroup: tuple[dict[str, Any], ...] = ()
    coding: tuple[dict[str, Any], ...] = ()
    fhir: dict[str, Any] | None = None
    form: dict[str, Any] = {}


def default_gaps(features: Sequence[Feature]) -> dict[str, tuple[str, ...]]:
    """Return each optional field by itself, and all of them, which is last."""
    optional = tuple(feature.name for feature in features if not feature.required)
    single: dict[str, tuple[str, ...]] = {name: (name,) for name in optional}
    return {**single, _ALL_OPTIONAL: optional} if len(optional) > 1 else single


def default_distinctive(features: Sequence[Feature]) -> tuple[str, ...]:
    """Return the quantities: two patients may agree in all codes."""
    return tuple(feature.name for feature in features if feature.kind is Kind.QUANTITY)
