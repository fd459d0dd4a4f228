"""A broker that workers reach through a proxy, for tests of network failures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.settings import Topics
from tests.support.proxied_broker import Broker, running_broker
from tests.support.stream import Stream


@pytest.fixture(scope="module")
def proxied() -> Iterator[Broker]:
    """A broker with a second listener, behind a proxy."""
    with running_broker() as broker:
        yield broker


@pytest.fixture
def proxied_stream(proxied: Broker, topics: Topics) -> Iterator[Stream]:
    with Stream.open(proxied.direct, topics) as stream:
        yield stream
