"""Whatever the gateway sends as FHIR is valid for HL7's own validator, which knows more rules than a schema."""

from __future__ import annotations

from pathlib import Path

import pytest

from heartstream.demo.processes import Child
from schemas.fhir.mapping import FHIR_TYPE
from tests.support.calls import ask
from tests.support.fhir_bundles import OPERATION, UCI_FHIR
from tests.support.fhir_server import validate

pytestmark = pytest.mark.timeout(600)
EXAMPLES = Path("schemas/examples/fhir/v1")
DESCRIPTIONS = ("/fhir/metadata", UCI_FHIR.definition_path, UCI_FHIR.questionnaire_path)
WITHOUT_DATE = '{"resourceType": "RiskAssessment", "status": "final", "prediction": [{"probabilityDecimal": 119}]}'


def test_every_resource_is_valid(gateway: Child, tmp_path: Path) -> None:
    """Descriptions, forms that are filled in, assessments and outcomes of every example; a wrong one is found."""
    for path in DESCRIPTIONS:
        (tmp_path / f"{path.rpartition('/')[2]}.json").write_bytes(ask(gateway, "GET", path).body)
    for example in sorted([*EXAMPLES.glob("accepted/*.json"), *EXAMPLES.glob("hospitals/*.json")]):
        for name, path in (("risk", OPERATION), ("form", UCI_FHIR.populate_path)):
            answer = ask(gateway, "POST", path, example.read_bytes(), {"Content-Type": FHIR_TYPE})
            (tmp_path / f"{name}-{example.name}").write_bytes(answer.body)
    (tmp_path / "wrong.json").write_text(WITHOUT_DATE)
    errors = {
        Path(each.file).name: each.text
        for each in validate(sorted(tmp_path.iterdir()))
        if each.severity not in {"warning", "information"}
    }
    assert errors.keys() == {"wrong.json"}, errors
