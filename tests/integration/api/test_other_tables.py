"""A gateway serves a model of any feature table: its documents, its form, and every protocol follow from the table."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.protocols.fhir.dates import day_after
from heartstream.demo.processes import Child
from schemas.tables.feature_table import FeatureTable
from scoring.scorer import Scorer
from tests.support.calls import JSON, LINES, ask
from tests.support.other_tables import NAMES, as_lines, records, table, write_model_of
from tests.support.outcomes import Scored, process
from tests.support.workers import Starter


class Served:
    """A gateway, the model that it serves, and records with the scores that the core gives them."""

    def __init__(self, gateway: Child, folder: Path) -> None:
        self.gateway = gateway
        self.scorer = Scorer.from_directory(folder)
        self.table: FeatureTable = self.scorer.compiled.table
        self.records = records(self.scorer.compiled)
        found = process(as_lines(self.records), [None] * len(self.records), self.scorer)
        self.scores = [outcome.value for outcome in found if isinstance(outcome, Scored)]
        assert len(self.scores) == len(self.records)
        self.risks = [json.loads(score)["risk"] for score in self.scores]

    def risk_of(self, record: dict[str, Any]) -> float:
        answer = ask(self.gateway, "POST", "/predict", json.dumps(record).encode())
        assert answer.status == 200, answer.body
        return answer.json["risk"]


@pytest.fixture(scope="module", params=NAMES)
def served(
    request: pytest.FixtureRequest, start: Starter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    folder = write_model_of(table(request.param), tmp_path_factory.mktemp(request.param) / "model")
    with start(MODEL__PATH=str(folder)) as gateway:
        yield Served(gateway, folder)


def test_single_records_have_the_scores_of_the_core(served: Served) -> None:
    """Byte for byte."""
    assert [ask(served.gateway, "POST", "/predict", line).body for line in as_lines(served.records)] == served.scores


def test_many_records_have_the_scores_of_the_core(served: Served) -> None:
    """As an array and as lines; a record with another table's field has its errors in its place."""
    lines = ask(served.gateway, "POST", "/predict/batch", b"\n".join(as_lines(served.records)), LINES)
    assert lines.body.splitlines() == served.scores
    sent = [*served.records, {**served.records[0], "chol": 233}]
    *scores, rejected = ask(served.gateway, "POST", "/predict/batch", json.dumps(sent).encode(), JSON).json
    assert scores == [json.loads(score) for score in served.scores]
    assert [error["code"] for error in rejected["errors"]] == ["unknown_field"]


def test_an_invalid_record_has_an_error_for_each_field(served: Served) -> None:
    """The message lists the codes as they are sent; the value is not quoted."""
    canary = "Zebedee-4711"
    record = {"patient_id": canary, **dict.fromkeys(served.table.names, canary)}
    answer = ask(served.gateway, "POST", "/predict", json.dumps(record).encode())
    assert (answer.status, canary.encode() in answer.body) == (422, False)
    assert [error["pointer"] for error in answer.json["errors"]] == [f"/{name}" for name in served.table.names]
    for feature, error in zip(served.table.features, answer.json["errors"], strict=True):
        assert error["code"] == ("impossible_code" if feature.labels else "wrong_type")
        assert [text for text in feature.code_texts * bool(feature.labels) if text not in error["message"]] == []


def test_openapi_describes_the_records_of_the_table(served: Served) -> None:
    """The document is valid, and so are its example and all records by its schema; another record is not."""
    document = ask(served.gateway, "GET", "/openapi.json").json
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []
    schema = document["components"]["schemas"]["PatientRecord"]
    check = jsonschema.Draft202012Validator(schema)
    assert [
        error.message for record in [*schema["examples"], *served.records] for error in check.iter_errors(record)
    ] == []
    assert not check.is_valid({**served.records[0], served.table.names[1]: "neither"})
    assert served.risk_of(schema["examples"][0]) >= 0
    assert served.table.outcome.text in document["info"]["summary"]


def test_fields_has_all_that_the_form_needs(served: Served) -> None:
    """Fields in order, codes as they are sent, the outcome in words, and examples that can be scored."""
    found = ask(served.gateway, "GET", "/fields").json
    assert (found["title"], found["outcome"]["text"]) == (served.table.title, served.table.outcome.text)
    assert [each["name"] for each in found["fields"]] == list(served.table.names)
    assert [tuple(code["code"] for code in each["codes"]) for each in found["fields"]] == [
        feature.sent if feature.codes else () for feature in served.table.features
    ]
    unknown = {"patient_id": "p", **dict.fromkeys(served.table.names)}
    assert [0 <= served.risk_of({**unknown, **each["values"]}) <= 1 for each in found["examples"]] == [True]
    assert len(found["groups"] or [{}]) == len(ask(served.gateway, "GET", "/model").json["single_labels"])


def test_inference_on_fields_gives_the_scores_of_the_core(served: Served) -> None:
    """Text codes are tensors of BYTES, as the metadata says; null, or an empty text, is not measured."""
    path = f"/v2/models/{served.scorer.model.name}"
    kinds = {each["name"]: each["datatype"] for each in ask(served.gateway, "GET", path).json["inputs"]}
    assert [kinds[feature.name] for feature in served.table.features] == [
        "BYTES" if feature.labels else "FP64" for feature in served.table.features
    ]
    columns = {name: [record[name] for record in served.records] for name in ("patient_id", *served.table.names)}
    texts = [feature.name for feature in served.table.features if feature.labels]
    emptied = {name: ["" if each is None else each for each in columns[name]] for name in texts}
    for sent in (columns, {**columns, **emptied}):
        inputs = [
            {"name": name, "shape": [len(data), 1], "datatype": kinds[name], "data": data}
            for name, data in sent.items()
        ]
        answer = ask(served.gateway, "POST", f"{path}/infer", json.dumps({"inputs": inputs}).encode(), JSON)
        assert answer.status == 200, answer.body
        outputs = {each["name"]: each["data"] for each in answer.json["outputs"]}
        assert outputs["score"] == [score.decode() for score in served.scores]
        assert outputs["risk"] == served.risks


def test_invocations_on_json_and_csv_give_the_risks_of_the_core(served: Served) -> None:
    """An empty cell, and null, is not measured; a text is a code."""
    names = list(served.table.names)
    file = io.StringIO()
    writer = csv.DictWriter(file, names, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(served.records)
    split = {"columns": names, "data": [[record[name] for name in names] for record in served.records]}
    bodies = {
        "text/csv": [file.getvalue()],
        "application/json": [json.dumps({"dataframe_split": split}), json.dumps({"dataframe_records": served.records})],
    }
    for kind, sent in bodies.items():
        for body in sent:
            answer = ask(served.gateway, "POST", "/invocations", body.encode(), {"Content-Type": kind})
            assert answer.status == 200, answer.body
            assert [each["risk"] for each in answer.json["predictions"]] == served.risks


def test_the_fhir_operation_is_that_of_the_table(served: Served) -> None:
    """Its Bundle has the risk of `/predict`; the operation of another table does not exist, nor that of one without."""
    assert ask(served.gateway, "POST", "/fhir/$heart-disease-risk", b"{}", JSON).status == 404
    fhir = served.table.fhir
    if fhir is None:
        assert ask(served.gateway, "GET", "/fhir/metadata").status == 404
        return
    capability = ask(served.gateway, "GET", "/fhir/metadata").json
    path = f"/fhir/OperationDefinition/{fhir.operation}"
    definition = f"{served.gateway.url}{path}"
    assert capability["rest"][0]["operation"] == [{"name": fhir.operation, "definition": definition}]
    assert ask(served.gateway, "GET", path).json["code"] == fhir.operation
    record = served.records[0]
    answer = ask(served.gateway, "POST", f"/fhir/${fhir.operation}", _bundle(served.table, record), JSON)
    assert answer.status == 200, answer.body
    (prediction,) = answer.json["prediction"]
    assert (prediction["probabilityDecimal"], prediction["outcome"]["text"]) == (served.risks[0], fhir.outcome)
    assert answer.json["code"]["text"] == f"{fhir.title} by {len(served.table.features)} clinical fields"
    start = dt.date.fromisoformat(prediction["whenPeriod"]["start"])
    assert prediction["whenPeriod"]["end"] == day_after(start, served.table.outcome.horizon).isoformat()


def _bundle(own: FeatureTable, record: dict[str, Any]) -> bytes:
    """Return a record as a Bundle whose Patient has only an id."""
    system = f"urn:heartstream:{own.name}"
    parts: list[dict[str, Any]] = [{"resourceType": "Patient", "id": record["patient_id"]}]
    for feature in own.features:
        value = record[feature.name]
        if value is None:
            continue
        code = str(value if feature.labels else int(value))
        unit = next(iter(feature.ucum), "")
        parts.append(
            {
                "resourceType": "Observation",
                "status": "final",
                "code": {"coding": [{"system": system, "code": feature.name}]},
                **(
                    {"valueCodeableConcept": {"coding": [{"system": f"{system}:{feature.name}", "code": code}]}}
                    if feature.codes
                    else {"valueQuantity": {"value": value, "system": "http://unitsofmeasure.org", "code": unit}}
                ),
            }
        )
    entries = [{"resource": part} for part in parts]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}).encode()
