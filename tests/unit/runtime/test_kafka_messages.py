"""Laws of reading headers as producers write them."""

from __future__ import annotations

from confluent_kafka import Message

from runtime.kafka.messages import headers_of


def test_headers_keep_order_repeats_and_missing_values() -> None:
    """Repeated headers are not merged, and a header without a value is kept."""
    headers = [("a", b"1"), ("a", b"2"), ("", b""), ("b", None)]
    assert headers_of(Message(topic="t", headers=headers)) == headers


def test_a_record_without_headers_has_an_empty_list() -> None:
    """A record without headers gives an empty list, not None."""
    assert headers_of(Message(topic="t")) == []
