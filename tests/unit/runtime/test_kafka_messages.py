"""Laws of reading headers whose producer sent what it liked."""

from __future__ import annotations

from confluent_kafka import Message

from runtime.kafka.messages import headers_of


def test_headers_stand_in_their_order_with_repeats_and_without_values() -> None:
    """Nothing of them is merged or lost."""
    headers = [("a", b"1"), ("a", b"2"), ("", b""), ("b", None)]
    assert headers_of(Message(topic="t", headers=headers)) == headers


def test_a_record_without_headers_has_an_empty_list() -> None:
    """Nobody has to ask whether there are any."""
    assert headers_of(Message(topic="t")) == []
