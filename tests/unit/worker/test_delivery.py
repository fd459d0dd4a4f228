"""Laws of counting confirmations."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from schemas.errors import DependencyError
from worker.transport.delivery import Delivery


async def test_done_when_the_last_record_is_confirmed() -> None:
    """A batch is delivered with its last confirmation, not before."""
    delivery = Delivery(2)
    delivery.confirm(None, None)
    assert not delivery.done.done()
    delivery.confirm(None, None)
    assert delivery.done.result() is None


async def test_a_batch_without_results_is_done_at_once() -> None:
    """Nothing to confirm means confirmed."""
    assert Delivery(0).done.done()


async def test_one_failure_fails_the_batch() -> None:
    """A record that cannot be delivered fails the whole batch, even if others are confirmed later."""
    delivery = Delivery(2)
    delivery.confirm(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE), None)
    delivery.confirm(None, None)
    with pytest.raises(DependencyError, match="MSG_SIZE_TOO_LARGE"):
        delivery.done.result()
