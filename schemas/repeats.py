"""For consumers of scores and dead letters: telling a repeated result from a new one.

After a crash, results that were on their way are produced again, byte for byte. A worker's results for one source
partition reach each output partition in the order of their offsets, and those of a repeated record the partition of the
first time: a key decides where they go, and for records without a key the source partition. So a result is a repeat
exactly if that output partition has already brought one from the same source partition with the same or a higher
offset.

This does not hold across a change of the number of partitions of the topic that is read, nor for scores whose batch
the broker refused as too large (docs/decisions/0046): then keep the sources themselves, or let the worker be
exactly-once. A topic that is deleted and made anew counts its offsets anew: begin with a new filter then.
"""

from __future__ import annotations

from schemas.records import Source


class RepeatFilter:
    """Remembers, for each output partition and source partition, the highest source offset seen.

    Feed it every result of the output partitions that you read, in order. Its memory is one number a pair of
    partitions; keep `state` beside your own offsets if you must not see a repeat after your own restart either.
    """

    def __init__(self, state: dict[tuple[int, str, int], int] | None = None) -> None:
        """Begin with nothing seen, or where `state` of an earlier filter left off."""
        self.state = {} if state is None else dict(state)

    def is_new(self, output_partition: int, source: Source) -> bool:
        """Say whether a result read from `output_partition` is the first for its source record; remember it."""
        place = (output_partition, source.topic, source.partition)
        if source.offset <= self.state.get(place, -1):
            return False
        self.state[place] = source.offset
        return True
