"""Other inference protocols, with their own clients: every interface gives the same scores."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from heartstream.demo.patients import real_patients
from heartstream.demo.processes import Child
from scoring.pyfunc import RiskModel
from scoring.scorer import Scorer
from tests.support.calls import JSON, PATIENTS, ask
from tests.support.public_copies import copy_records, uci_records
from tests.support.uci import FEATURE_NAMES

RECORDS = real_patients()[:30]
FRAME = pd.DataFrame(RECORDS)[list(FEATURE_NAMES)].astype(float)


@pytest.fixture
def triton(gateway: Child) -> InferenceServerClient:
    return InferenceServerClient(gateway.url.removeprefix("http://"))


def tensor(name: str, values: list[Any], kind: str) -> InferInput:
    found = InferInput(name, [len(values)], kind)
    array = np.array(values, dtype=np.object_ if kind == "BYTES" else np.float64)
    found.set_data_from_numpy(array, binary_data=False)
    return found


def infer(triton: InferenceServerClient, model: str, inputs: list[InferInput]) -> Any:
    outputs = [InferRequestedOutput(name, binary_data=False) for name in ("risk", "label", "score")]
    return triton.infer(model, inputs, outputs=outputs, request_id="r-1")


def test_triton_client_finds_server_and_model(triton: InferenceServerClient, scorer: Scorer) -> None:
    """Live, ready, and described as the protocol requires."""
    name = scorer.model.name
    assert (triton.is_server_live(), triton.is_server_ready(), triton.is_model_ready(name)) == (True, True, True)
    assert triton.get_server_metadata()["name"] == "heartstream"
    response = triton.get_model_metadata(name)
    assert {each["name"] for each in response["inputs"]} == {*FEATURE_NAMES, "patient_id", "record", "coding"}
    assert [each["name"] for each in response["outputs"]] == ["risk", "label", "score"]


def test_infer_on_records_gives_the_score_objects(
    triton: InferenceServerClient, gateway: Child, scorer: Scorer
) -> None:
    """`record` tensors give the bytes of `/predict`."""
    found = infer(triton, scorer.model.name, [tensor("record", [body.decode() for body in PATIENTS[:30]], "BYTES")])
    expected = [ask(gateway, "POST", "/predict", body).body.decode() for body in PATIENTS[:30]]
    assert found.as_numpy("score").tolist() == expected
    assert found.as_numpy("risk").tolist() == [json.loads(each)["risk"] for each in expected]
    assert found.as_numpy("label").tolist() == [json.loads(each)["label"] for each in expected]
    assert found.get_response()["id"] == "r-1"


def test_infer_on_fields_gives_the_same_risks(triton: InferenceServerClient, gateway: Child, scorer: Scorer) -> None:
    """One tensor per field; -9 is a missing number, as in UCI's files."""
    inputs = [tensor(name, FRAME[name].fillna(-9).tolist(), "FP64") for name in FEATURE_NAMES]
    inputs.append(tensor("patient_id", [record["patient_id"] for record in RECORDS], "BYTES"))
    found = infer(triton, scorer.model.name, inputs)
    expected = [ask(gateway, "POST", "/predict", body).body.decode() for body in PATIENTS[:30]]
    assert found.as_numpy("score").tolist() == expected


def test_infer_rejects_an_invalid_record_without_its_value(triton: InferenceServerClient, scorer: Scorer) -> None:
    """The error has the row, the code and the field, but not the value."""
    inputs = [tensor(name, [*FRAME[name].fillna(-9)[:3]], "FP64") for name in FEATURE_NAMES if name != "age"]
    inputs.append(tensor("age", [63, 4711, 50], "FP64"))
    with pytest.raises(InferenceServerException) as caught:
        infer(triton, scorer.model.name, inputs)
    text = str(caught.value)
    assert ("row 1: out_of_range at /age" in text, "4711" in text) == (True, False)


def test_binary_tensors_are_refused_with_a_message(triton: InferenceServerClient, scorer: Scorer) -> None:
    """The client's default is the binary extension, which is not supported here."""
    wanted = InferInput("record", [1], "BYTES")
    wanted.set_data_from_numpy(np.array([PATIENTS[0].decode()], dtype=np.object_))
    with pytest.raises(InferenceServerException, match="binary_data=False"):
        triton.infer(scorer.model.name, [wanted])


def test_another_model_is_not_served(triton: InferenceServerClient) -> None:
    """Nor does a wrong name get the right model's scores."""
    with pytest.raises(InferenceServerException, match="unknown model"):
        infer(triton, "another", [tensor("record", [PATIENTS[0].decode()], "BYTES")])


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"inputs": []},
        {"inputs": [{"name": "age", "shape": [1], "datatype": "BYTES", "data": ["63"]}]},
        {"inputs": [{"name": "record", "shape": [2], "datatype": "BYTES", "data": ["{}"]}]},
        {"inputs": [{"name": "record", "shape": [1, 13], "datatype": "BYTES", "data": ["{}"]}]},
        {"inputs": [{"name": "record", "shape": [1], "datatype": "BYTES", "data": [7]}]},
        {"inputs": [{"name": "unknown", "shape": [1], "datatype": "FP64", "data": [7]}]},
        {
            "inputs": [
                {"name": "age", "shape": [1], "datatype": "FP64", "data": [63]},
                {"name": "sex", "shape": [2], "datatype": "FP64", "data": [1, 0]},
            ]
        },
        {"inputs": [{"name": "record", "shape": [1], "datatype": "BYTES", "data": ["{}"]}], "outputs": [{"name": "x"}]},
    ],
)
def test_invalid_requests_are_reported(gateway: Child, scorer: Scorer, document: object) -> None:
    """400 with the protocol's error object."""
    found = ask(gateway, "POST", f"/v2/models/{scorer.model.name}/infer", json.dumps(document).encode(), JSON)
    assert (found.status, list(found.json)) == (400, ["error"])


@pytest.fixture
def mlflow(gateway: Child, monkeypatch: pytest.MonkeyPatch) -> Any:
    # Who imports it first decides for all whether it logs; and it warns of its own type hints.
    monkeypatch.setenv("MLFLOW_CONFIGURE_LOGGING", "false")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient  # noqa: PLC0415

    host, port = gateway.url.removeprefix("http://").split(":")
    return ScoringServerClient(host, int(port))


def test_mlflow_client_gets_what_pyfunc_gives(mlflow: Any, scorer: Scorer) -> None:
    """`/ping` answers, and `/invocations` returns the same frame as the model in one's own process."""
    mlflow.ping()
    found = pd.DataFrame(mlflow.invoke(FRAME).get_predictions())
    pd.testing.assert_frame_equal(found, RiskModel(scorer).predict(FRAME).reset_index(drop=True))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", json.dumps({"dataframe_records": RECORDS})),
        ("application/json", json.dumps({"instances": RECORDS})),
        ("application/json", json.dumps({"inputs": RECORDS})),
        ("application/json", json.dumps({"inputs": {name: [r[name] for r in RECORDS] for name in FEATURE_NAMES}})),
        ("text/csv", FRAME.to_csv(index=False)),
    ],
    ids=["records", "instances", "inputs-rows", "inputs-columns", "csv"],
)
def test_every_form_of_a_data_frame_gives_the_same_scores(gateway: Child, scorer: Scorer, kind: str, body: str) -> None:
    """Rows, columns and CSV have the same risks."""
    found = ask(gateway, "POST", "/invocations", body.encode(), {"Content-Type": kind})
    risks = [row["risk"] for row in found.json["predictions"]]
    assert risks == RiskModel(scorer).predict(FRAME)["risk"].tolist()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/json", b"{}"),
        ("application/json", b"[]"),
        ("application/json", b'{"instances": []}'),
        ("application/json", b'{"instances": [{"age": 63}]}'),
        ("application/json", b'{"inputs": {"age": [1], "sex": [1, 2]}}'),
        ("application/json", b'{"dataframe_split": {"columns": ["age"], "data": [[1, 2]]}}'),
        ("application/json", b'{"instances": [{"age": 63}], "inputs": [{"age": 63}]}'),
        ("text/csv", b"age"),
        ("text/csv", b'age\n"63'),
        ("text/csv", b"\xff\xfe"),
        ("text/plain", b"age\n63"),
    ],
)
def test_invalid_data_frames_are_reported(gateway: Child, kind: str, body: bytes) -> None:
    """400 with MLflow's error object."""
    found = ask(gateway, "POST", "/invocations", body, {"Content-Type": kind})
    assert (found.status, found.json["error_code"]) == (400, "BAD_REQUEST")


@pytest.mark.parametrize("cell", ["Zebra", "inf", "-Infinity", "1e999", "6_3"])
def test_a_cell_that_is_not_a_number_is_reported_without_its_value(gateway: Child, cell: str) -> None:
    """The error has row, code and field; infinity does not count as "not measured"."""
    text = FRAME[:2].to_csv(index=False).replace("63.0", cell, 1)
    found = ask(gateway, "POST", "/invocations", text.encode(), {"Content-Type": "text/csv"})
    response = found.json["message"]
    assert (found.status, "row 0: wrong_type at /age" in response, cell in response) == (400, True, False)


CODED = [json.loads(record) for record in copy_records("kaggle-303")[:30]]
NAMED = {
    "a column": {"dataframe_records": [{**record, "coding": "kaggle-303"} for record in CODED]},
    "params": {"dataframe_records": CODED, "params": {"coding": "kaggle-303"}},
    "a column of columns": {
        "inputs": {name: [each.get(name, "kaggle-303") for each in CODED] for name in (*FEATURE_NAMES, "coding")}
    },
}


@pytest.mark.parametrize("document", NAMED.values(), ids=NAMED)
def test_mlflows_rows_are_scored_in_the_coding_that_is_named(gateway: Child, document: object) -> None:
    """The predictions equal those of the same patients in UCI's codes."""
    own = {"dataframe_records": [json.loads(record) for record in uci_records("kaggle-303")[:30]]}
    expected = ask(gateway, "POST", "/invocations", json.dumps(own).encode(), JSON)
    found = ask(gateway, "POST", "/invocations", json.dumps(document).encode(), JSON)
    assert (found.status, found.json) == (200, expected.json)


@pytest.mark.parametrize(
    "more", [{"coding": "kaggle-303"}, {"params": {"coding": "kaggle"}}, {"params": {"codings": "uci"}}, {"options": 1}]
)
def test_unknown_members_of_invocations_are_refused(gateway: Child, more: dict[str, object]) -> None:
    """Unknown members and codings are refused, since they might change the meaning of the rows."""
    body = json.dumps({"dataframe_records": RECORDS[:2], **more}).encode()
    assert ask(gateway, "POST", "/invocations", body, JSON).status == 400


@pytest.mark.parametrize("way", ["tensor", "parameter"])
def test_infer_in_the_coding_that_is_named(gateway: Child, scorer: Scorer, way: str) -> None:
    """The coding is a tensor `coding`, or a parameter of the request."""
    tensors = [
        {
            "name": name,
            "shape": [30],
            "datatype": "FP64",
            "data": [-9 if each[name] is None else each[name] for each in CODED],
        }
        for name in FEATURE_NAMES
    ]
    if way == "tensor":
        tensors.append({"name": "coding", "shape": [30], "datatype": "BYTES", "data": ["kaggle-303"] * 30})
    document = {"inputs": tensors} | ({"parameters": {"coding": "kaggle-303"}} if way == "parameter" else {})
    path = f"/v2/models/{scorer.model.name}/infer"
    found = ask(gateway, "POST", path, json.dumps(document).encode(), JSON).json
    expected = [ask(gateway, "POST", "/predict", record).json["risk"] for record in uci_records("kaggle-303")[:30]]
    assert found["outputs"][0]["data"] == expected


def test_pyfunc_reads_the_coding_of_each_row(scorer: Scorer) -> None:
    """A frame can mix codings; an unknown one refuses the frame."""
    frame = pd.concat([pd.DataFrame(CODED).assign(coding="kaggle-303"), pd.DataFrame(RECORDS)], ignore_index=True)
    own = pd.concat([pd.DataFrame(map(json.loads, uci_records("kaggle-303")[:30])), pd.DataFrame(RECORDS)])
    model = RiskModel(scorer)
    expected = model.predict(own[list(FEATURE_NAMES)].astype(float))["risk"].tolist()
    assert model.predict(frame)["risk"].tolist() == expected
    with pytest.raises(ValueError, match="30 of 60 rows have an unknown coding"):
        model.predict(frame.replace({"coding": {"kaggle-303": "kaggle"}}))
