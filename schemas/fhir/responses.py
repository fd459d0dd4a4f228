"""The FHIR resources that responses contain."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from schemas.fhir.mapping import FHIR_TYPE, FHIR_VERSION


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


RESPONSE_TYPES: Final = (
    *(RiskAssessment, Prediction, Extension, Annotation, Reference, CodeableConcept, Coding, Range, Quantity),
    *(OperationOutcome, Issue),
)
"""All types that responses contain."""


def capability_statement(version: str, date: str) -> dict[str, Any]:
    """Return the CapabilityStatement: one operation, no stored resources."""
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
