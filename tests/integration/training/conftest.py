"""A server with the published files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.http_server import Server, content, running_server
from training.data.dataset import SITES, file_name, published_file


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that has UCI's four files."""
    with running_server() as running:
        running.answers = {file_name(site): content(published_file(site)) for site in SITES}
        yield running
