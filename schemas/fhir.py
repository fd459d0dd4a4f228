"""FHIR R4 (4.0.1) on the wire: which codes and units stand for which field, and the resources read and written.

A standard code stands here only where its meaning is the field's beyond doubt; else the field has a code of our own,
for a wrong standard code would be believed. Resources have the elements that matter here; others are not read.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from schemas.features import FEATURES, Kind

FHIR_TYPE: Final = "application/fhir+json"
FHIR_VERSION: Final = "4.0.1"
OPERATION: Final = "/fhir/$heart-disease-risk"
LOINC: Final = "http://loinc.org"
UCUM: Final = "http://unitsofmeasure.org"
OWN: Final = "urn:heartstream:uci-heart"
"""Our code system of fields: UCI's names. With `:` and such a name, that of the field's values: UCI's numbers."""
EXTENSION: Final = "urn:heartstream:fhir:"
"""What the URL of every extension of ours begins with."""
BLOOD_PRESSURE_PANEL: Final = "85354-9"


class Cut(msgspec.Struct, frozen=True):
    """A field is 1 where a quantity is over `above`; quantities are possible from `lowest` to `highest`."""

    above: float
    lowest: float
    highest: float


class Measure(msgspec.Struct, frozen=True):
    """A code of an Observation, and how its quantity becomes a field.

    `units` are UCUM codes, each with what makes the field's unit of it. With a `cut`, the field says on which side of
    that the quantity lies.
    """

    system: str
    code: str
    display: str
    field: str
    units: dict[str, float] = {}
    cut: Cut | None = None


_CHOLESTEROL: Final = {"mg/dL": 1.0, "mmol/L": 38.67}
_GLUCOSE: Final = {"mg/dL": 1.0, "mmol/L": 18.0156}
"""A mole of glucose has 180.156 g, one of cholesterol 386.7."""
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
    *(Measure(OWN, each.name, each.meaning, each.name, _OWN_UNITS.get(each.name, {})) for each in FEATURES),
)
BY_CODE: Final = {(measure.system, measure.code): measure for measure in MEASURES}
FLAGS: Final = frozenset(each.name for each in FEATURES if each.codes == ((0, "no"), (1, "yes")))
"""Fields that can come as a boolean."""
CODED: Final = frozenset(each.name for each in FEATURES if each.kind is Kind.CODE)
"""Fields that come as a code of ours, or as its number."""
FINAL: Final = ("final", "amended", "corrected")
"""States of an Observation in which its value counts."""
SEXES: Final = {"female": 0.0, "male": 1.0}

Integer = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
Optional = UnsetType | msgspec.Raw
"""An element of which it only matters whether it is there."""


class SentCoding(msgspec.Struct, frozen=True):
    """A code, of a system."""

    system: str = ""
    code: str = ""


class SentConcept(msgspec.Struct, frozen=True):
    """Codes that all mean one thing."""

    coding: tuple[SentCoding, ...] = ()


class SentQuantity(msgspec.Struct, frozen=True):
    """A number with its unit."""

    value: float | UnsetType = UNSET
    system: str = ""
    code: str = ""
    comparator: Optional = UNSET


class SentReference(msgspec.Struct, frozen=True):
    """Another resource."""

    reference: str = ""


class SentPeriod(msgspec.Struct, frozen=True):
    """A time from and to."""

    start: str = ""
    end: str = ""


class SentValue(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What an Observation or a part of it found: one `value[x]`, or why there is none."""

    code: SentConcept = SentConcept()
    value_quantity: SentQuantity | UnsetType = UNSET
    value_codeable_concept: SentConcept | UnsetType = UNSET
    value_boolean: bool | UnsetType = UNSET
    value_integer: Integer | UnsetType = UNSET
    value_string: Optional = UNSET
    value_range: Optional = UNSET
    value_ratio: Optional = UNSET
    value_sampled_data: Optional = UNSET
    value_time: Optional = UNSET
    value_date_time: Optional = UNSET
    value_period: Optional = UNSET
    data_absent_reason: Optional = UNSET
    modifier_extension: Optional = UNSET


class SentObservation(SentValue, frozen=True, rename="camel", kw_only=True):
    """One finding about the patient."""

    id: str = ""
    status: str = ""
    subject: SentReference | UnsetType = UNSET
    effective_date_time: str = ""
    effective_instant: str = ""
    effective_period: SentPeriod = SentPeriod()
    component: tuple[SentValue, ...] = ()
    implicit_rules: Optional = UNSET


class SentPatient(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Whom the findings are about."""

    id: str = ""
    gender: str = ""
    birth_date: str = ""
    modifier_extension: Optional = UNSET
    implicit_rules: Optional = UNSET


class SentEntry(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A resource in a Bundle."""

    full_url: str = ""
    resource: Optional = UNSET


class SentBundle(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A collection of resources."""

    type: str = ""
    entry: tuple[SentEntry, ...] = ()


class SentParameter(msgspec.Struct, frozen=True):
    """A named part of what an operation is called with."""

    name: str = ""
    resource: Optional = UNSET


class SentParameters(msgspec.Struct, frozen=True):
    """What FHIR libraries wrap the input of an operation in."""

    parameter: tuple[SentParameter, ...] = ()


class SentKind(msgspec.Struct, frozen=True, rename="camel"):
    """Which resource it is."""

    resource_type: str = ""


class Coding(msgspec.Struct, frozen=True):
    """A code, of a system."""

    system: str
    code: str
    display: str | UnsetType = UNSET


class CodeableConcept(msgspec.Struct, frozen=True):
    """A meaning, by code and in words."""

    text: str
    coding: tuple[Coding, ...] | UnsetType = UNSET


class Reference(msgspec.Struct, frozen=True):
    """Another resource: where it is, and what it is."""

    reference: str | UnsetType = UNSET
    display: str | UnsetType = UNSET


class Quantity(msgspec.Struct, frozen=True):
    """A number with its unit."""

    value: float
    system: str
    code: str


class Range(msgspec.Struct, frozen=True):
    """A number from and to."""

    low: Quantity
    high: Quantity


class Extension(msgspec.Struct, frozen=True, rename="camel"):
    """What FHIR has no element for; docs/fhir.md tells of every URL."""

    url: str
    value_code: str | UnsetType = UNSET
    value_string: str | UnsetType = UNSET
    value_decimal: float | UnsetType = UNSET
    value_range: Range | UnsetType = UNSET
    extension: tuple[Extension, ...] | UnsetType = UNSET


class Annotation(msgspec.Struct, frozen=True):
    """A remark for people."""

    text: str


class Prediction(msgspec.Struct, frozen=True, rename="camel"):
    """What may be, and how likely it is: `probabilityDecimal` is a share of 1."""

    outcome: CodeableConcept
    probability_decimal: float
    qualitative_risk: CodeableConcept
    rationale: str | UnsetType = UNSET
    extension: tuple[Extension, ...] | UnsetType = UNSET


class RiskAssessment(msgspec.Struct, frozen=True, rename="camel", tag_field="resourceType", tag="RiskAssessment"):
    """A score, as FHIR has it."""

    status: str
    method: CodeableConcept
    code: CodeableConcept
    subject: Reference
    occurrence_date_time: str
    prediction: tuple[Prediction, ...]
    note: tuple[Annotation, ...]
    extension: tuple[Extension, ...]
    basis: tuple[Reference, ...] | UnsetType = UNSET


class Issue(msgspec.Struct, frozen=True):
    """One thing that is wrong. `code` is FHIR's, the coding in `details` ours; `expression` says where."""

    severity: str
    code: str
    details: CodeableConcept
    expression: tuple[str, ...] | UnsetType = UNSET


class OperationOutcome(msgspec.Struct, frozen=True, tag_field="resourceType", tag="OperationOutcome"):
    """Why a request was not carried out: all that is wrong."""

    issue: tuple[Issue, ...]


WRITTEN: Final = (
    *(RiskAssessment, Prediction, Extension, Annotation, Reference, CodeableConcept, Coding, Range, Quantity),
    *(OperationOutcome, Issue),
)
"""What the answers are made of."""


def bundle_schema() -> dict[str, Any]:
    """Describe what a Bundle must have to be looked into; what its resources must have, docs/fhir.md tells."""
    resource = {"type": "object", "required": ["resourceType"], "properties": {"resourceType": {"type": "string"}}}
    entry = {
        "type": "object",
        "required": ["resource"],
        "properties": {"fullUrl": {"type": "string"}, "resource": resource},
    }
    return {
        "title": "Bundle",
        "description": "A FHIR R4 Bundle: one Patient and Observations of the 13 fields.",
        "externalDocs": {"url": "https://hl7.org/fhir/R4/bundle.html"},
        "type": "object",
        "required": ["resourceType", "type", "entry"],
        "properties": {
            "resourceType": {"const": "Bundle"},
            "type": {"const": "collection"},
            "entry": {"type": "array", "minItems": 1, "items": entry},
        },
    }


def capability(version: str, date: str) -> dict[str, Any]:
    """Return the CapabilityStatement: one operation, nothing kept."""
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "heartstream", "version": version},
        "implementation": {
            "description": "Risk of coronary heart disease. Research and education only: not a medical device."
        },
        "fhirVersion": FHIR_VERSION,
        "format": [FHIR_TYPE],
        "rest": [
            {
                "mode": "server",
                "operation": [{"name": "heart-disease-risk", "definition": "urn:heartstream:fhir:heart-disease-risk"}],
            }
        ],
    }
