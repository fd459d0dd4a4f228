"""Which FHIR codes and units map to which field of a feature table."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import UnsetType

from schemas.tables.feature_table import Feature, FeatureTable, Kind
from schemas.tables.fhir import LOINC, FhirOperation

FHIR_TYPE: Final = "application/fhir+json"
FHIR_VERSION: Final = "4.0.1"
OPERATIONS: Final = "/fhir/$"
"""What the paths of all operations begin with."""
DEFINITIONS: Final = "/fhir/OperationDefinition/"
"""With an operation's name appended, the path of its definition."""
QUESTIONNAIRES: Final = "/fhir/Questionnaire/"
"""With an operation's name appended, the path of its form."""
POPULATE: Final = "/$populate"
"""Appended to the path of a form, that of the operation that fills it in."""
UCUM: Final = "http://unitsofmeasure.org"
OWN: Final = "urn:heartstream:"
"""With a table's name appended, our code system for its fields."""
EXTENSION: Final = "urn:heartstream:fhir:"
"""The prefix of the URLs of our extensions."""
BUNDLE_TYPES: Final = ("collection", "searchset", "transaction", "batch", "document", "message")
"""The types of Bundles that are read leniently.

Not history, which has versions of the same resource, and not responses, which may have Bundles of their own.
"""
STRICTNESS: Final = ("lenient", "strict")
"""How a Bundle can be read."""
FINAL: Final = ("final", "amended", "corrected")
"""The statuses of an Observation whose value is used."""
ANSWERED: Final = {"completed": "final", "amended": "amended"}
"""The statuses of a QuestionnaireResponse whose answers are used, and those of Observations that mean the same."""
FASTING_STATUS: Final = (LOINC, "49541-6")
"""The code of a component that states whether the patient had fasted."""
FASTED: Final = frozenset({(LOINC, "LA33-6"), ("http://terminology.hl7.org/CodeSystem/v2-0916", "F")})
"""The codes that mean yes, of a component or of a Specimen's collection."""
UNUSABLE: Final = ("unsatisfactory", "entered-in-error")
"""The statuses of a Specimen of which nothing is believed."""
GENDERS: Final = ("female", "male")
"""FHIR's administrative genders that can be the code of a field."""


class Cut(msgspec.Struct, frozen=True):
    """A field is 1 if a quantity is greater than `above`; quantities from `lowest` to `highest` are valid."""

    above: float
    lowest: float
    highest: float
    unit: str


class Measure(msgspec.Struct, frozen=True):
    """A code of an Observation, and how its quantity is converted to a field.

    `units` maps UCUM codes to the factor that converts them to the field's unit, `other_units` further codes and texts
    for the lenient reading. With a `cut`, the field says whether the quantity is above it. With `fasting`, the code
    has the meaning only where the Bundle states that the patient had fasted.
    """

    system: str
    code: str
    display: str
    field: str
    units: Mapping[str, float] = {}
    cut: Cut | None = None
    other_units: Mapping[str, float] = {}
    fasting: bool = False

    @property
    def unit(self) -> str:
        """The UCUM code of the field's own unit; empty if there is none."""
        return next((unit for unit, factor in self.units.items() if factor == 1), "")

    def unit_of(self, text: str) -> str | None:
        """Return the unit that a system means by a text, without regard to case, brackets and blanks."""
        known = (*self.units, *self.other_units)
        return next((unit for unit in known if unit == text or _plain(unit) == _plain(text)), None)

    @property
    def name(self) -> str:
        """What error messages call the code."""
        return f"LOINC {self.code}" if self.system == LOINC else f"code {self.code} of {self.system}"


class FhirMapping:
    """The codes of a feature table: standard ones, and our own, which every field has.

    `system` is our code system for the fields, whose codes are their names. With `:` and a name appended, it is that of
    the field's values. `panels` has the fields that can be components of an Observation, by its code. `flags` can be
    sent as a boolean; `coded` fields are sent as a code of ours, or as its number.
    """

    def __init__(self, table: FeatureTable, operation: FhirOperation) -> None:
        self.table = table
        self.operation = operation
        self.path = f"{OPERATIONS}{operation.operation}"
        self.definition_path = f"{DEFINITIONS}{operation.operation}"
        self.questionnaire_path = f"{QUESTIONNAIRES}{operation.operation}"
        self.populate_path = f"{self.questionnaire_path}{POPULATE}"
        self.system = f"{OWN}{table.name}"
        own = (
            Measure(self.system, each.name, each.meaning, each.name, each.ucum, None, _set(each.other_units))
            for each in table.features
        )
        self.measures = (*(measure for each in table.features for measure in _standard(each)), *own)
        self.by_code = {(measure.system, measure.code): measure for measure in self.measures}
        self.panels: dict[tuple[str, str], set[str]] = defaultdict(set)
        for feature in table.features:
            for each in feature.fhir:
                for panel in each.panels:
                    self.panels[each.system, panel].add(feature.name)
        self.flags = frozenset(each.name for each in table.features if each.is_flag)
        self.coded = frozenset(each.name for each in table.features if each.kind is Kind.CODE)

    @classmethod
    def of(cls, table: FeatureTable) -> FhirMapping | None:
        """Return the mapping of a table, None for one that is not sent as FHIR."""
        return None if table.fhir is None else cls(table, table.fhir)

    @classmethod
    def required(cls, table: FeatureTable) -> FhirMapping:
        """Return the mapping of a table; raises ValueError for one that is not sent as FHIR."""
        if table.fhir is None:
            raise ValueError("the feature table has no FHIR operation")
        return cls(table, table.fhir)


def _standard(feature: Feature) -> Iterator[Measure]:
    for each in feature.fhir:
        cut = None
        if each.above is not None:
            lowest, highest = each.limits or (float("-inf"), float("inf"))
            cut = Cut(each.above, lowest, highest, each.unit)
        units, fasting = each.units or feature.ucum, each.fasting is True
        other = _set(each.other_units) or _set(feature.other_units)
        yield Measure(each.system, each.code, each.display, feature.name, units, cut, other, fasting)


def _set(units: Mapping[str, float] | UnsetType) -> Mapping[str, float]:
    return {} if isinstance(units, UnsetType) else units


def _plain(unit: str) -> str:
    return re.sub(r"[\s\[\]{}_]", "", re.sub("[\N{MICRO SIGN}\N{GREEK SMALL LETTER MU}]", "u", unit)).lower()
