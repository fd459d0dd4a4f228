"""The gateway against its OpenAPI document, with generated requests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from heartstream.demo.processes import Child
from tests.support.fhir_bundles import OPERATION, UCI_FHIR
from tests.support.workers import Starter

ROOT = Path(__file__).parents[3]
POPULATE = UCI_FHIR.populate_path


@pytest.mark.parametrize(
    "choice",
    [
        ["--exclude-path", "/predict/batch", "--exclude-path", OPERATION, "--exclude-path", POPULATE],
        # A bad record among many has its issues in its place: the request as a whole is not refused.
        ["--include-path", "/predict/batch", "--exclude-checks", "negative_data_rejection"],
        # OpenAPI says what a Bundle is, not which findings make a record of it.
        ["--include-path", OPERATION, "--include-path", POPULATE, "--exclude-checks", "positive_data_acceptance"],
    ],
    ids=["all-but-batch", "batch", "fhir"],
)
def test_every_response_matches_the_contract(gateway: Child, choice: list[str], tmp_path: Path) -> None:
    """All phases and checks pass: statuses, types, schemas, methods, headers."""
    run(gateway, choice, tmp_path)


def test_every_response_of_cds_hooks_matches_the_contract(start: Starter, tmp_path: Path) -> None:
    """OpenAPI says what a call is, not which prefetch is complete."""
    with start(CDS_HOOKS__ENABLED="true") as gateway:
        run(gateway, ["--include-tag", "cds-hooks", "--exclude-checks", "positive_data_acceptance"], tmp_path)


def run(gateway: Child, choice: list[str], folder: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"),
            *(f"{gateway.url}/openapi.json", "--max-examples", "40", "--seed", "1", "--no-color"),
            *choice,
        ],
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.integration.api.schemathesis_hooks", "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
