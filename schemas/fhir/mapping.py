"""Which FHIR codes and units map to which field of a feature table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from schemas.tables.feature_table import Feature, FeatureTable, Kind
from schemas.tables.fhir import LOINC, FhirOperation

FHIR_TYPE: Final = "application/fhir+json"
FHIR_VERSION: Final = "4.0.1"
OPERATIONS: Final = "/fhir/$"
"""What the paths of all operations begin with."""
UCUM: Final = "http://unitsofmeasure.org"
OWN: Final = "urn:heartstream:"
"""With a table's name appended, our code system for its fields."""
EXTENSION: Final = "urn:heartstream:fhir:"
"""The prefix of the URLs of our extensions."""
FINAL: Final = ("final", "amended", "corrected")
"""The statuses of an Observation whose value is used."""
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

    `units` maps UCUM codes to the factor that converts them to the field's unit. With a `cut`, the field says whether
    the quantity is above it.
    """

    system: str
    code: str
    display: str
    field: str
    units: Mapping[str, float] = {}
    cut: Cut | None = None

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
        self.system = f"{OWN}{table.name}"
        own = (Measure(self.system, each.name, each.meaning, each.name, each.ucum) for each in table.features)
        self.measures = (*(measure for each in table.features for measure in _standard(each)), *own)
        self.by_code = {(measure.system, measure.code): measure for measure in self.measures}
        self.panels: dict[tuple[str, str], set[str]] = defaultdict(set)
        for feature in table.features:
            for each in feature.fhir:
                if each.panel:
                    self.panels[each.system, each.panel].add(feature.name)
        self.flags = frozenset(each.name for each in table.features if each.is_flag)
        self.coded = frozenset(each.name for each in table.features if each.kind is Kind.CODE)

    @classmethod
    def of(cls, table: FeatureTable) -> FhirMapping | None:
        """Return the mapping of a table, None for one that is not sent as FHIR."""
        return None if table.fhir is None else cls(table, table.fhir)


def _standard(feature: Feature) -> Iterator[Measure]:
    for each in feature.fhir:
        cut = None
        if each.above is not None:
            lowest, highest = each.limits or (float("-inf"), float("inf"))
            cut = Cut(each.above, lowest, highest, each.unit)
        yield Measure(each.system, each.code, each.display, feature.name, each.units or feature.ucum, cut)
