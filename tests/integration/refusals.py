"""Errors of the clients, as the laws of producers and transactions expect them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from confluent_kafka import KafkaException

from tests.integration.kafkas import Kafka, Writer, at

ABORTABLE: Final = (False, False, True)
FATAL: Final = (True, False, False)
PLAIN: Final = (False, False, False)


def refusal(call: Callable[..., object], *args: Any, **options: Any) -> tuple[int, tuple[bool, bool, bool]]:
    """Return the error that a call raises: its code, and whether it is fatal, retriable, or requires an abort."""
    with pytest.raises(KafkaException) as raised:
        call(*args, **options)
    error = raised.value.args[0]
    return error.code(), (error.fatal(), error.retriable(), error.txn_requires_abort())


def send_offset(kafka: Kafka, writer: Writer, offset: int, group: Any) -> None:
    writer.client.send_offsets_to_transaction(at(kafka, offset), group, 30)
