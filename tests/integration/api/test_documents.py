"""The gateway's documents are valid, up to date, complete and correct."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.routes import api_docs
from heartstream.demo.processes import Child
from runtime.ports import free_port
from schemas.generate.documents import FOLDER
from schemas.tables.builtin import UCI_HEART
from scoring.scorer import Scorer
from tests.support.calls import PATIENTS, ask
from tests.support.workers import Starter


@pytest.fixture(scope="module")
def complete(start: Starter) -> Iterator[Child]:
    """A gateway with all operations that the committed document describes."""
    with start(CDS_HOOKS__ENABLED="true") as child:
        yield child


def test_openapi_is_valid(gateway: Child, complete: Child) -> None:
    """By the specification's validator, with all operations and without those that are off by default."""
    for each in (gateway, complete):
        assert list(OpenAPIV31SpecValidator(ask(each, "GET", "/openapi.json").json).iter_errors()) == []


@pytest.mark.parametrize("name", ["openapi", "asyncapi"])
def test_served_document_is_the_committed_one(complete: Child, name: str) -> None:
    """Except for the product version."""
    served, committed = ask(complete, "GET", f"/{name}.json").json, json.loads((FOLDER / f"{name}.json").read_bytes())
    assert served["info"].pop("version") == version("heartstream")
    committed["info"].pop("version")
    assert served == committed


def test_examples_of_openapi_are_valid(gateway: Child) -> None:
    """The example record is scored."""
    assert ask(gateway, "POST", "/predict", json.dumps(dict(UCI_HEART.example)).encode()).status == 200


def test_answers_are_what_openapi_says(gateway: Child) -> None:
    """Score, served model and health match their schemas, with references resolved."""
    document = ask(gateway, "GET", "/openapi.json").json
    for path, answer in {
        "/model": ask(gateway, "GET", "/model"),
        "/health": ask(gateway, "GET", "/health"),
        "/predict": ask(gateway, "POST", "/predict", PATIENTS[0]),
    }.items():
        (operation,) = document["paths"][path].values()
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        check = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
        assert list(check.iter_errors(answer.json)) == []


def test_docs_page_loads_nothing_from_other_servers(gateway: Child) -> None:
    """Page and files are served from here, with a policy that allows no other source."""
    page = ask(gateway, "GET", "/docs")
    assert (page.status, page.kind, b"http" in page.body) == (200, "text/html", False)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        found = ask(gateway, "GET", f"/docs/{name}")
        assert (found.status, found.headers["Content-Encoding"]) == (200, "gzip")
    assert ask(gateway, "GET", "/docs/start.js").kind == "text/javascript"


def test_model_is_the_one_in_the_scores(gateway: Child, scorer: Scorer) -> None:
    """Name, version and digest equal those of every score."""
    model, score = ask(gateway, "GET", "/model").json, ask(gateway, "POST", "/predict", PATIENTS[0]).json
    assert (model["model"], model["threshold"], model["engine"]) == (score["model"], score["threshold"], scorer.engine)


def test_card_comes_as_markdown_or_json(gateway: Child) -> None:
    """As the Accept header asks."""
    page = ask(gateway, "GET", "/model/card")
    card = ask(gateway, "GET", "/model/card", headers={"Accept": "application/json"})
    assert (page.kind, page.body.startswith(b"# Model card")) == ("text/markdown", True)
    assert (card.kind, card.json["schema"]) == ("application/json", "heartstream-model-card/2")


def test_every_route_is_described_or_known_to_be_another_protocols(gateway: Child) -> None:
    """A route that OpenAPI does not describe belongs to the page or to another specification."""
    described = set(ask(gateway, "GET", "/openapi.json").json["paths"])
    elsewhere = {"/openapi.json", "/asyncapi.json", "/ping", "/invocations"}
    assert described.isdisjoint(elsewhere)
    assert {route.path for route in api_docs.routes(UCI_HEART)} - elsewhere == {
        "/docs",
        "/docs/start.js",
        "/docs/swagger-ui-bundle.js",
        "/docs/swagger-ui.css",
    }


def test_metrics_can_have_a_separate_port(start: Starter) -> None:
    """Then only that port serves metrics; both serve health."""
    port = free_port()
    with start(GATEWAY__METRICS_PORT=str(port)) as gateway:
        ask(gateway, "POST", "/predict", PATIENTS[0])
        inside = Child("gateway", gateway.process, f"http://127.0.0.1:{port}", gateway.log)
        assert [ask(gateway, "GET", "/metrics").status, ask(gateway, "GET", "/health").status] == [404, 200]
        assert [ask(inside, "GET", "/health").status, ask(inside, "POST", "/predict", PATIENTS[0]).status] == [200, 501]
        metrics = ask(inside, "GET", "/metrics").body.decode()
        assert 'heartstream_records_total{interface="http",outcome="scored"} 1.0' in metrics
