"""QuestionnaireResponses to the form of a feature table."""

from __future__ import annotations

from typing import Any

from schemas.fhir.mapping import FhirMapping
from tests.support.fhir_bundles import OWN, UCI_FHIR, Json

FORM = f"https://a.example{UCI_FHIR.questionnaire_path}"
LATER = "2024-03-20"
"""After all Observations of the complete Bundle."""


def coded(field: str, code: str) -> Json:
    return {"valueCoding": {"system": f"{OWN}:{field}", "code": code}}


def item(link: str, *answers: Json, **others: Any) -> Json:
    return {"linkId": link, "answer": list(answers), **others}


def response(*items: Json, **others: Any) -> Json:
    """Return a completed response with items; None removes an element."""
    found = {
        "resourceType": "QuestionnaireResponse",
        "id": "q-1",
        "questionnaire": FORM,
        "status": "completed",
        "subject": {"reference": "Patient/p-1"},
        "authored": LATER,
        "item": list(items),
        **others,
    }
    return {name: each for name, each in found.items() if each is not None}


def answers_of(mapping: FhirMapping, record: Json) -> list[Json]:
    """Return an item for each value of a record, of any table."""
    found = []
    for feature in mapping.table.features:
        value = record.get(feature.name)
        if value is None:
            continue
        if feature.is_flag:
            answer: Json = {"valueBoolean": value in {1, "yes"}}
        elif feature.codes:
            code = value if feature.labels else int(value)
            answer = {"valueCoding": {"system": f"{mapping.system}:{feature.name}", "code": str(code)}}
        else:
            answer = {"valueInteger": int(value)} if feature.whole else {"valueDecimal": value}
        found.append(item(feature.name, answer))
    return found
