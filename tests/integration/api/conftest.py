"""A real gateway process, shared by all tests that do not change it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heartstream.demo.processes import Child
from tests.support.cds_hooks import CDS_ORIGIN
from tests.support.workers import Starter


@pytest.fixture(scope="session")
def gateway(start: Starter) -> Iterator[Child]:
    """A gateway with a short body timeout, for all tests that do not change it."""
    with start(GATEWAY__BODY_TIMEOUT_SECONDS="1") as child:
        yield child


@pytest.fixture(scope="session")
def hooks(start: Starter) -> Iterator[Child]:
    """A gateway with the service, which one origin may call."""
    settings = {"CDS_HOOKS__ENABLED": "true", "GATEWAY__ALLOWED_ORIGINS": f"{CDS_ORIGIN}, https://two.example.org"}
    with start(**settings) as gateway:
        yield gateway
