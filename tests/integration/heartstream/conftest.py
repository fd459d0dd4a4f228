"""Dead letters on a real broker."""

from __future__ import annotations

import pytest

from tests.support.dlq_harness import DlqHarness
from tests.support.stream import Stream
from tests.support.workers import Workers


@pytest.fixture
def harness(stream: Stream, workers: Workers) -> DlqHarness:
    return DlqHarness(stream.address, stream.topics, workers.settings)
