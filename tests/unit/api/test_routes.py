"""Every route that does work requires a scope, and FHIR's routes follow from the feature table."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from api.bootstrap import create_application
from api.graceful_shutdown import GracefulShutdown
from api.security.auth import Authenticator, describe_route
from runtime.settings import Settings
from schemas.generate import openapi
from tests.support.other_tables import table, write_model_of


def test_every_post_route_requires_a_scope(model_dir: Path) -> None:
    """A route without one would serve any authenticated caller, also a key that may only read metrics."""
    settings = Settings.from_mapping({"HEARTSTREAM_MODEL__PATH": str(model_dir)})
    application, _ = create_application(settings, Authenticator([]), GracefulShutdown())
    posts = [route.resource for route in application.router.routes() if route.method == "POST"]
    assert len(posts) >= 6
    assert [route.name for route in map(describe_route, posts) if route.scope is None] == []


@pytest.mark.parametrize("name", [None, "one-year-mortality"])
def test_the_fhir_routes_are_those_of_the_feature_table(tmp_path: Path, name: str | None) -> None:
    """A table without a FHIR operation has none, and its documents describe none."""
    own = table("whas500")
    if name is None:
        unbound = tuple(msgspec.structs.replace(feature, fhir=(), ucum={}) for feature in own.features)
        own = msgspec.structs.replace(own, features=unbound, fhir=None)
    settings = Settings.from_mapping({"HEARTSTREAM_MODEL__PATH": str(write_model_of(own, tmp_path / "model"))})
    application, _ = create_application(settings, Authenticator([]), GracefulShutdown())
    own_paths = {f"/fhir/${name}", f"/fhir/OperationDefinition/{name}", f"/fhir/Questionnaire/{name}"}
    expected = {"/fhir/metadata", *own_paths, f"/fhir/Questionnaire/{name}/$populate"} if name else set()
    assert {path for path in map(str, openapi.document("1", own)["paths"]) if "fhir" in path} == expected
    resources = {resource.canonical for resource in application.router.resources()}
    assert {path for path in resources if path.startswith("/fhir")} == expected
