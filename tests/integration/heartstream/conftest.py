"""Dead letters on the best broker there is."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Workers
from tests.integration.heartstream.desk import Desk
from tests.integration.stream import Stream


@pytest.fixture
def desk(stream: Stream, workers: Workers) -> Desk:
    return Desk(stream.address, stream.topics, workers.settings)
