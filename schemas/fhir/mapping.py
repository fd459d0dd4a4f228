"""Which FHIR codes and units map to which field.

A standard code is listed only if its meaning is exactly that of the field; other fields have codes of our own, because
a wrong standard code would be trusted.
"""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.tables.builtin import UCI_HEART
from schemas.tables.feature_table import Kind

FHIR_TYPE: Final = "application/fhir+json"
FHIR_VERSION: Final = "4.0.1"
OPERATION: Final = "/fhir/$heart-disease-risk"
LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
OWN: Final = "urn:heartstream:uci-heart"
"""Our code system for fields: UCI's names. With `:` and a name appended, that of the field's values: UCI's numbers."""
EXTENSION: Final = "urn:heartstream:fhir:"
"""The prefix of the URLs of our extensions."""
BLOOD_PRESSURE_PANEL: Final = "85354-9"


class Cut(msgspec.Struct, frozen=True):
    """A field is 1 if a quantity is greater than `above`; quantities from `lowest` to `highest` are valid."""

    above: float
    lowest: float
    highest: float


class Measure(msgspec.Struct, frozen=True):
    """A code of an Observation, and how its quantity is converted to a field.

    `units` maps UCUM codes to the factor that converts them to the field's unit. With a `cut`, the field says whether
    the quantity is above it.
    """

    system: str
    code: str
    display: str
    field: str
    units: dict[str, float] = {}
    cut: Cut | None = None


_CHOLESTEROL: Final = {"mg/dL": 1.0, "mmol/L": 38.67}
_GLUCOSE: Final = {"mg/dL": 1.0, "mmol/L": 18.0156}
"""The molar mass of glucose is 180.156 g, that of cholesterol 386.7 g."""
_OWN_UNITS: Final[dict[str, dict[str, float]]] = {
    "age": {"a": 1.0},
    "trestbps": {"mm[Hg]": 1.0},
    "chol": _CHOLESTEROL,
    "thalach": {"/min": 1.0, "{beats}/min": 1.0},
    "oldpeak": {"mm": 1.0, "mV": 10.0},
}
_FASTING: Final = Cut(120, 10, 2000)

MEASURES: Final = (
    Measure(LOINC, "30525-0", "Age", "age", _OWN_UNITS["age"]),
    Measure(LOINC, "8480-6", "Systolic blood pressure", "trestbps", _OWN_UNITS["trestbps"]),
    Measure(LOINC, "2093-3", "Cholesterol [Mass/volume] in Serum or Plasma", "chol", _CHOLESTEROL),
    Measure(LOINC, "14647-2", "Cholesterol [Moles/volume] in Serum or Plasma", "chol", _CHOLESTEROL),
    Measure(LOINC, "1558-6", "Fasting glucose [Mass/volume] in Serum or Plasma", "fbs", _GLUCOSE, _FASTING),
    Measure(LOINC, "14771-0", "Fasting glucose [Moles/volume] in Serum or Plasma", "fbs", _GLUCOSE, _FASTING),
    *(Measure(OWN, each.name, each.meaning, each.name, _OWN_UNITS.get(each.name, {})) for each in UCI_HEART.features),
)
BY_CODE: Final = {(measure.system, measure.code): measure for measure in MEASURES}
FLAGS: Final = frozenset(each.name for each in UCI_HEART.features if each.codes == ((0, "no"), (1, "yes")))
"""Fields that can be sent as a boolean."""
CODED: Final = frozenset(each.name for each in UCI_HEART.features if each.kind is Kind.CODE)
"""Fields that are sent as a code of ours, or as its number."""
FINAL: Final = ("final", "amended", "corrected")
"""The statuses of an Observation whose value is used."""
SEXES: Final = {"female": 0.0, "male": 1.0}
