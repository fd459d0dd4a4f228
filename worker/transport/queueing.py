"""Queueing many records at the client: in runs that are short enough to poll between them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from worker.transport.outgoing import ANY_PARTITION, Headers

_POLL_EVERY_RECORDS: Final = 500


def runs(count: int, alone: Collection[int]) -> Iterator[tuple[int, int]]:
    """Part `count` places into runs that are short enough; places that stand `alone` are runs by themselves."""
    start = 0
    for place in (*sorted(alone), count):
        for first in range(start, place, _POLL_EVERY_RECORDS):
            yield first, min(first + _POLL_EVERY_RECORDS, place)
        if place < count:
            yield place, place + 1
        start = place + 1


def produce_run(
    produce: Callable[..., None],
    topic: str,
    keys: Sequence[bytes | None],
    values: Sequence[bytes],
    headers: Mapping[int, Headers] | None,
    places: range,
    home: int,
) -> int:
    """Queue records of these places; return the first that did not fit. The hot loop: under 1 µs a record."""
    place = places.start
    try:
        if headers is None:
            for place in places:
                key = keys[place]
                produce(topic, values[place], key, home if key is None else ANY_PARTITION)
        else:
            for place in places:
                key = keys[place]
                target = home if key is None else ANY_PARTITION
                produce(topic, values[place], key, target, headers=list(headers[place]))
    except BufferError:
        return place
    except KafkaException as failure:
        raise UnsentError(place, failure.args[0]) from failure
    return places.stop


class UnsentError(Exception):
    """The client does not take the record at `place`."""

    def __init__(self, place: int, error: KafkaError) -> None:
        super().__init__(place)
        self.place, self.error = place, error
