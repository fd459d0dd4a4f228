"""A server with good files, and one training run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.training.server import Server, content, running_server
from training.data.dataset import SITES, file_name, published
from training.pipeline import TrainingReport, TrainingRequest, train


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that has UCI's four files."""
    with running_server() as running:
        running.answers = {file_name(site): content(published(site)) for site in SITES}
        yield running


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory) -> TrainingReport:
    """One training run with seed 42, and its model directory."""
    return train(TrainingRequest(tmp_path_factory.mktemp("trained") / "model", model_version="1.2.3", quick=True))
