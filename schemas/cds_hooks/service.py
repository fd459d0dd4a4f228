"""The CDS service of a feature table: its description, and the FHIR data that it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import quote

from schemas.cds_hooks.responses import DISCLAIMER, Service, Services
from schemas.fhir.mapping import FhirMapping

SERVICES: Final = "/cds-services"
"""The path of the discovery; with `/` and a service's id, that of the service."""
HOOK: Final = "patient-view"
PATIENT: Final = "patient"
RESPONSE: Final = "questionnaire-response"
OBSERVATIONS: Final = "observations-"
"""With a field's name appended, the prefetch key of its Observations."""
_MAX_OBSERVATIONS: Final = 10
"""Of one field: the latest may be preliminary or without a value."""
_PATIENT_ID: Final = "{{context.patientId}}"
_LITERAL: Final = ":/|"
"""Kept as they are in codes and URLs: a template is text, which clients encode when they make a request of it."""


def service_path(mapping: FhirMapping) -> str:
    """Return the path of a table's service."""
    return f"{SERVICES}/{mapping.operation.operation}"


def discovery(mapping: FhirMapping, base_url: str, population: str) -> Services:
    """Return the table's service.

    `base_url` is the gateway's, with which the URL of its Questionnaire begins, `population` describes the training
    patients of the model.
    """
    operation, table = mapping.operation, mapping.table
    required = ", ".join(each.meaning for each in table.features if each.required)
    text = f"{operation.title} ({operation.outcome}) by {len(table.features)} clinical fields. Trained on {population}."
    return Services(
        (
            Service(
                hook=HOOK,
                title=operation.title,
                description=text,
                id=operation.operation,
                prefetch=dict(_prefetch(mapping, base_url)),
                usage_requirements=f"{DISCLAIMER} The service reads the prefetch only, and calls no FHIR server. "
                f"{'Without these there is no risk: ' + required + '.' if required else ''}".strip(),
            ),
        )
    )


def _prefetch(mapping: FhirMapping, base_url: str) -> Iterator[tuple[str, str]]:
    yield PATIENT, f"Patient/{_PATIENT_ID}"
    for field in observed_fields(mapping):
        codes = ",".join(f"{quote(system, _LITERAL)}|{quote(code)}" for system, code in _codes(mapping, field))
        search = f"patient={_PATIENT_ID}&code={codes}&_sort=-date&_count={_MAX_OBSERVATIONS}"
        yield f"{OBSERVATIONS}{field}", f"Observation?{search}"
    questionnaire = quote(f"{base_url}/fhir/Questionnaire/{mapping.operation.operation}", _LITERAL)
    search = f"patient={_PATIENT_ID}&questionnaire={questionnaire}&_sort=-authored&_count=1"
    yield RESPONSE, f"QuestionnaireResponse?{search}"


def observed_fields(mapping: FhirMapping) -> tuple[str, ...]:
    """Return the fields that Observations have: all but those that follow from the Patient."""
    of_patient = {mapping.operation.age, mapping.operation.gender}
    return tuple(name for name in mapping.table.names if name not in of_patient)


def prefetch_keys(mapping: FhirMapping) -> tuple[str, ...]:
    """Return the keys of all prefetch templates."""
    return (PATIENT, *(f"{OBSERVATIONS}{field}" for field in observed_fields(mapping)), RESPONSE)


def _codes(mapping: FhirMapping, field: str) -> Iterator[tuple[str, str]]:
    """Yield the codes of a field, and of the panels that it can be a component of."""
    yield from ((each.system, each.code) for each in mapping.measures if each.field == field)
    yield from (code for code, fields in mapping.panels.items() if field in fields)
