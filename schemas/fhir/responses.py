"""The FHIR resources that responses contain."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from schemas.fhir.mapping import DEFINITIONS, FHIR_TYPE, FHIR_VERSION, POPULATE
from schemas.tables.fhir import FhirOperation

_POPULATE_DEFINITION: Final = "http://hl7.org/fhir/uv/sdc/OperationDefinition/Questionnaire-populate"
DISCLAIMER: Final = "Research and education only: not a medical device."


class Coding(msgspec.Struct, frozen=True):
    """A code of a code system."""

    system: str
    code: str
    display: str | UnsetType = UNSET


class CodeableConcept(msgspec.Struct, frozen=True):
    """A concept, as codes and text."""

    text: str
    coding: tuple[Coding, ...] | UnsetType = UNSET


class Identifier(msgspec.Struct, frozen=True):
    """An identifier of a system."""

    system: str
    value: str


class Reference(msgspec.Struct, frozen=True):
    """A reference to another resource, or to what an identifier names."""

    reference: str | UnsetType = UNSET
    display: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    identifier: Identifier | UnsetType = UNSET


class Quantity(msgspec.Struct, frozen=True):
    """A number with its unit."""

    value: float
    system: str
    code: str


class Range(msgspec.Struct, frozen=True):
    """A range of numbers."""

    low: Quantity
    high: Quantity


class Extension(msgspec.Struct, frozen=True, rename="camel"):
    """Data for which FHIR has no element; docs/fhir.md lists the URLs."""

    url: str
    value_code: str | UnsetType = UNSET
    value_string: str | UnsetType = UNSET
    value_decimal: float | UnsetType = UNSET
    value_range: Range | UnsetType = UNSET
    extension: tuple[Extension, ...] | UnsetType = UNSET


class Period(msgspec.Struct, frozen=True):
    """A period of time, of whole days."""

    start: str
    end: str


class Narrative(msgspec.Struct, frozen=True):
    """A resource as text, in XHTML."""

    status: str
    div: str


class Annotation(msgspec.Struct, frozen=True):
    """A note in text."""

    text: str


class Prediction(msgspec.Struct, frozen=True, rename="camel"):
    """A possible outcome and its probability: `probabilityDecimal` is 0 to 1."""

    outcome: CodeableConcept
    probability_decimal: float
    qualitative_risk: CodeableConcept
    when_period: Period
    rationale: str | UnsetType = UNSET
    extension: tuple[Extension, ...] | UnsetType = UNSET


class RiskAssessment(msgspec.Struct, frozen=True, rename="camel", tag_field="resourceType", tag="RiskAssessment"):
    """A score as a FHIR resource."""

    text: Narrative
    status: str
    method: CodeableConcept
    code: CodeableConcept
    subject: Reference
    occurrence_date_time: str
    performer: Reference
    prediction: tuple[Prediction, ...]
    note: tuple[Annotation, ...]
    extension: tuple[Extension, ...]
    basis: tuple[Reference, ...] | UnsetType = UNSET


class Issue(msgspec.Struct, frozen=True):
    """One problem: `code` is FHIR's, the coding in `details` is ours, `expression` is its location."""

    severity: str
    code: str
    details: CodeableConcept
    expression: tuple[str, ...] | UnsetType = UNSET


class OperationOutcome(msgspec.Struct, frozen=True, tag_field="resourceType", tag="OperationOutcome"):
    """Why a request was rejected: all of its problems."""

    issue: tuple[Issue, ...]


RESPONSE_TYPES: Final = (
    *(RiskAssessment, Prediction, Extension, Annotation, Reference, CodeableConcept, Coding, Range, Quantity),
    *(Identifier, Narrative, Period),
    *(OperationOutcome, Issue),
)
"""All types that responses contain."""


def capability_statement(operation: FhirOperation, version: str, date: str, base: str) -> dict[str, Any]:
    """Return the CapabilityStatement: the operation and the form, no stored resources. `base` is the server's URL."""
    return {
        "resourceType": "CapabilityStatement",
        "url": f"{base}/fhir/metadata",
        "status": "active",
        "date": date,
        "kind": "instance",
        "software": {"name": "heartstream", "version": version},
        "implementation": {"description": f"{operation.title}. {DISCLAIMER}", "url": f"{base}/fhir"},
        "fhirVersion": FHIR_VERSION,
        "format": [FHIR_TYPE],
        "rest": [
            {
                "mode": "server",
                "resource": [
                    {
                        "type": "Questionnaire",
                        "interaction": [{"code": "read"}],
                        "operation": [{"name": POPULATE.removeprefix("/$"), "definition": _POPULATE_DEFINITION}],
                    }
                ],
                "operation": [{"name": operation.operation, "definition": _definition_url(operation, base)}],
            }
        ],
    }


def operation_definition(operation: FhirOperation, version: str, date: str, base: str) -> dict[str, Any]:
    """Return the OperationDefinition: a Bundle in, a RiskAssessment out."""
    return {
        "resourceType": "OperationDefinition",
        "id": operation.operation,
        "url": _definition_url(operation, base),
        "version": version,
        "name": computable_name(operation),
        "title": operation.title,
        "status": "active",
        "kind": "operation",
        "date": date,
        "description": f"{operation.title}: {operation.outcome}. {DISCLAIMER}",
        "affectsState": False,
        "code": operation.operation,
        "system": True,
        "type": False,
        "instance": False,
        "parameter": [
            _parameter("resource", "in", "One Patient, and Observations or answers of the fields", "Bundle"),
            _parameter("return", "out", "The risk, with its uncertainty", "RiskAssessment"),
        ],
    }


def computable_name(operation: FhirOperation) -> str:
    """Return the name of an operation for programs: HeartDiseaseRisk."""
    return "".join(map(str.capitalize, operation.operation.split("-")))


def _definition_url(operation: FhirOperation, base: str) -> str:
    return f"{base}{DEFINITIONS}{operation.operation}"


def _parameter(name: str, use: str, documentation: str, kind: str) -> dict[str, Any]:
    return {"name": name, "use": use, "min": 1, "max": "1", "documentation": documentation, "type": kind}
