"""Produces many records in ranges that are short enough to poll the client between them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaException

from worker.kafka.delivery_errors import UnsentError
from worker.kafka.outgoing_record import ANY_PARTITION, Headers

_POLL_EVERY_RECORDS: Final = 500


def runs(count: int, alone: Collection[int]) -> Iterator[tuple[int, int]]:
    """Split `count` indexes into short ranges; each index in `alone` gets a range of its own."""
    start = 0
    for index in (*sorted(alone), count):
        for first in range(start, index, _POLL_EVERY_RECORDS):
            yield first, min(first + _POLL_EVERY_RECORDS, index)
        if index < count:
            yield index, index + 1
        start = index + 1


def produce_range(
    produce: Callable[..., None],
    topic: str,
    keys: Sequence[bytes | None],
    values: Sequence[bytes],
    headers: Mapping[int, Headers] | None,
    indexes: range,
    keyless_partition: int,
) -> int:
    """Produce the records at these indexes; return the first that did not fit. Hot loop: under 1 µs per record."""
    index = indexes.start
    try:
        if headers is None:
            for index in indexes:
                key = keys[index]
                produce(topic, values[index], key, keyless_partition if key is None else ANY_PARTITION)
        else:
            for index in indexes:
                key = keys[index]
                target = keyless_partition if key is None else ANY_PARTITION
                produce(topic, values[index], key, target, headers=list(headers[index]))
    except BufferError:
        return index
    except KafkaException as failure:
        raise UnsentError(index, failure.args[0]) from failure
    return indexes.stop
