"""The gateway reads Bundles as hospitals send them, and says in its answer what it read."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.riskassessment import RiskAssessment

from heartstream.demo.processes import Child
from schemas.fhir.mapping import FHIR_TYPE
from tests.support.calls import JSON, Answer, ask
from tests.support.fhir_bundles import CANARY, COMPLETE, OPERATION, bundle, loinc_quantity, unchecked
from tests.support.lenient_bundles import pressure
from tests.support.workers import Starter

EXAMPLES = sorted(Path("schemas/examples/fhir/v1/hospitals").glob("*.json"))
DAYS = re.compile(r"\d+ days old")


def assess(gateway: Child, body: bytes, query: str = "", kind: str = FHIR_TYPE) -> Answer:
    return ask(gateway, "POST", OPERATION + query, body, {"Content-Type": kind})


def details(answer: Answer) -> list[dict[str, Any]]:
    OperationOutcome.model_validate_json(answer.body)
    assert CANARY.encode() not in answer.body
    return answer.json["issue"]


def said(texts: list[str]) -> list[str]:
    return [DAYS.sub("", text) for text in texts]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_example_is_scored_or_refused(gateway: Child, path: Path) -> None:
    """With the risk of its record at `/predict`; either answer has all notes."""
    answer, notes = assess(gateway, path.read_bytes()), path.with_suffix(".notes").read_text("utf-8").splitlines()
    record = path.with_suffix(".record")
    if record.exists():
        RiskAssessment.model_validate_json(answer.body)
        score = ask(gateway, "POST", "/predict", record.read_bytes(), JSON).json
        assert answer.json["prediction"][0]["probabilityDecimal"] == score["risk"]
        assert said([each["text"] for each in answer.json["note"]])[-len(notes) :] == said(notes)
        return
    issues = details(answer)
    expected = json.loads(path.with_suffix(".issues").read_bytes())
    assert answer.status == 422
    assert [[each["details"]["coding"][0]["code"], *each["expression"]] for each in issues[: len(expected)]] == expected
    information = issues[len(expected) :]
    assert {each["severity"] for each in information} <= {"information"}
    assert said([each["details"]["text"] for each in information]) == said(notes)


def test_the_answer_says_all_in_words(gateway: Child) -> None:
    """Risk, day, interval, plausible outcomes, what was missing and the training patients, for a plain viewer."""
    path = next(each for each in EXAMPLES if each.stem == "synthea-transaction")
    answer = assess(gateway, path.read_bytes()).json
    (prediction,) = answer["prediction"]
    score = ask(gateway, "POST", "/predict", path.with_suffix(".record").read_bytes(), JSON).json
    low, high = score["interval"]
    assert prediction["whenPeriod"] == {"start": "2024-03-01", "end": "2024-03-01"}
    qualitative = prediction["qualitativeRisk"]["text"]
    assert qualitative.startswith(f"Below the threshold 0.5; 90% interval {low} to {high}; plausible: ")
    assert answer["performer"]["identifier"]["value"] == score["model"]["digest"]
    assert [each["display"] for each in answer["basis"]] == [
        f"{name}, 2024-03-01" for name in ("cp", "trestbps", "chol")
    ]
    assert answer["text"]["status"] == "generated"
    narrative = "".join(ET.fromstring(answer["text"]["div"]).itertext())  # noqa: S314  # our own answer
    parts = (f"{score['risk']:.1%}", "on 2024-03-01", qualitative, *(each["text"] for each in answer["note"]))
    assert [part for part in parts if part not in narrative] == []
    assert any("Trained on" in each["text"] for each in answer["note"])
    assert f"Not sent or not measured: {', '.join(score['missing'])}." in narrative


def test_the_strict_reading_can_be_asked_for(gateway: Child, start: Starter) -> None:
    """By a request, and by the setting; another word is refused."""
    body = unchecked(*COMPLETE, loinc_quantity("8867-4", 71, "/min"))
    strict = assess(gateway, body, "?strictness=strict")
    assert [each["code"] for each in details(strict)] == ["not-supported"]
    assert assess(gateway, body).status == 200
    other = assess(gateway, body, f"?strictness={CANARY}")
    assert (other.status, details(other)[0]["details"]["text"]) == (400, "strictness must be lenient or strict.")
    with start(FHIR__STRICTNESS="strict") as own:
        assert assess(own, body).status == 422
        assert assess(own, body, "?strictness=lenient").status == 200


def test_settings_bound_age_and_size(start: Starter) -> None:
    """Of Observations in days, of Bundles in bytes."""
    body = unchecked(*COMPLETE, pressure("2020-01-01", 120))
    with start(FHIR__LOOKBACK_DAYS="30", FHIR__BODY_LIMIT_BYTES=str(len(body))) as gateway:
        answer = assess(gateway, body)
        assert answer.status == 422
        assert "cp: passed over, as it is older than 30 days: 2024-03-15." in [
            each["details"]["text"] for each in details(answer)
        ]
        assert details(assess(gateway, body + b" "))[0]["code"] == "too-long"


@pytest.mark.parametrize(
    ("kind", "status", "text"),
    [
        ("application/fhir+xml", 415, "XML is not read: send the Bundle as JSON, as application/fhir+json."),
        ("text/xml", 415, "XML is not read: send the Bundle as JSON, as application/fhir+json."),
        ("text/plain", 415, "Unsupported media type; send a Bundle as application/fhir+json."),
        ("application/fhir+json; fhirVersion=1.0", 415, "Unsupported fhirVersion; send 4.0, 4.3, 3.0, 5.0."),
        ("application/fhir+json; fhirVersion=5.0", 200, "The Bundle is of FHIR R5: the elements that are read are"),
        ('application/fhir+json; fhirVersion="3.0"', 200, "The Bundle is of FHIR STU3: the elements that are read"),
        ("application/fhir+json; fhirVersion=4.0", 200, ""),
    ],
)
def test_the_content_type_decides_what_is_read(gateway: Child, kind: str, status: int, text: str) -> None:
    """Other versions are read with a note; what cannot be read is refused with what to send."""
    answer = assess(gateway, bundle(*COMPLETE), kind=kind)
    assert answer.status == status
    if status == 415:
        assert details(answer)[0]["details"]["text"] == text
    else:
        assert any(each["text"].startswith(text) for each in answer.json["note"])
        assert ("The Bundle is of FHIR" in str(answer.json["note"])) == bool(text)


def test_a_byte_order_mark_is_accepted(gateway: Child) -> None:
    """As Windows programs write it."""
    assert assess(gateway, b"\xef\xbb\xbf" + bundle(*COMPLETE)).status == 200


def test_a_large_bundle_does_not_hold_up_other_requests(gateway: Child) -> None:
    """9 MB of other resources are passed over in slices: probes are answered meanwhile."""
    claim = {"resourceType": "Claim", "text": {"div": "x" * 800}, "item": [{"sequence": place} for place in range(10)]}
    body = unchecked(*COMPLETE, *[claim] * 9_000)
    assert 8_000_000 < len(body) < 10_485_760
    probes = 0
    with concurrent.futures.ThreadPoolExecutor() as pool:
        scored = pool.submit(assess, gateway, body)
        while not scored.done():
            assert ask(gateway, "GET", "/health/live").status == 200
            probes += not scored.done()
        answer = scored.result()
    assert answer.status == 200, answer.body
    assert "Passed over: 0 Observations of other codes, 9000 other resources." in [
        each["text"] for each in answer.json["note"]
    ]
    assert probes


def test_a_large_refused_bundle_is_not_in_the_audit_trail(start: Starter, tmp_path: Path) -> None:
    """Its digest is; a line with all of it would not fit a Kafka message."""
    trail, small = tmp_path / "trail", unchecked(COMPLETE[1])
    large = unchecked(COMPLETE[1], {"resourceType": "Claim", "text": "x" * 300_000})
    with start(AUDIT__PATH=str(trail), AUDIT__KEY="a-test-key-of-some-length", AUDIT__WITH_INPUT="true") as gateway:
        assert [assess(gateway, body).status for body in (small, large)] == [422, 422]
    lines = [json.loads(line) for line in trail.read_bytes().splitlines()]
    assert [each["record"] for each in lines] == [hashlib.sha256(body).hexdigest() for body in (small, large)]
    assert [each.get("input") for each in lines] == [small.decode(), None]
