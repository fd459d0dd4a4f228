"""A real gateway process for all tests that change nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heartstream.demo.processes import Child
from tests.support.workers import Starter


@pytest.fixture(scope="session")
def gateway(start: Starter) -> Iterator[Child]:
    """A gateway with a short patience, for all tests that change nothing."""
    with start(GATEWAY__BODY_TIMEOUT_SECONDS="1") as child:
        yield child
