"""The FHIR operations of the HTTP interface."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus

from schemas.fhir.mapping import FHIR_TYPE, STRICTNESS, FhirMapping
from schemas.generate.operation import ABUSE, BODY, Operation, ref
from schemas.tables.feature_table import FeatureTable


def fhir_operations(table: FeatureTable) -> Iterator[Operation]:
    """Yield those of a feature table; none if it has no FHIR operation."""
    mapping = FhirMapping.of(table)
    if mapping is None:
        return
    first, *others = mapping.operation.operation.split("-")
    yield Operation(
        "post",
        mapping.path,
        first + "".join(map(str.capitalize, others)),
        "fhir",
        "Score the patient of a FHIR Bundle",
        f"FHIR R4: one Patient and Observations of the {len(table.features)} fields in, a RiskAssessment with the risk "
        "of `/predict` out. Errors are OperationOutcomes with every error. docs/fhir.md has the codes and units.",
        {FHIR_TYPE: ref("RiskAssessment")},
        {FHIR_TYPE: ref("Bundle")},
        (*BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY, *ABUSE),
        (FHIR_TYPE, "OperationOutcome"),
        choices={"strictness": STRICTNESS},
    )
    yield from _description_operations(mapping)
    yield from _form_operations(mapping)


def _description_operations(mapping: FhirMapping) -> Iterator[Operation]:
    yield Operation(
        "get",
        "/fhir/metadata",
        "fhirMetadata",
        "fhir",
        "Get the CapabilityStatement",
        "The operations, resources and formats that are supported.",
        {FHIR_TYPE: {"type": "object"}},
    )
    yield Operation(
        "get",
        mapping.definition_path,
        "fhirOperationDefinition",
        "fhir",
        "Get the OperationDefinition",
        "What the operation takes and gives.",
        {FHIR_TYPE: {"type": "object"}},
    )


def _form_operations(mapping: FhirMapping) -> Iterator[Operation]:
    yield Operation(
        "get",
        mapping.questionnaire_path,
        "fhirQuestionnaire",
        "fhir",
        "Get the form as a Questionnaire",
        f"The {len(mapping.table.features)} fields, for those that no record system has. A Bundle may have a completed "
        "QuestionnaireResponse to it.",
        {FHIR_TYPE: {"type": "object"}},
    )
    yield Operation(
        "post",
        mapping.populate_path,
        "fhirPopulate",
        "fhir",
        "Fill the form in from a FHIR Bundle",
        "SDC's `$populate`: a Bundle in, Parameters out: `response`, a QuestionnaireResponse in progress with the "
        "fields that the Bundle has, and `issues`, an OperationOutcome of notes. Nothing is scored.",
        {FHIR_TYPE: {"type": "object"}},
        {FHIR_TYPE: ref("Bundle")},
        (*BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY, *ABUSE),
        (FHIR_TYPE, "OperationOutcome"),
        choices={"strictness": STRICTNESS},
    )
