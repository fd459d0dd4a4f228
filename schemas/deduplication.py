"""For consumers of scores and dead letters: recognize duplicates.

After a crash, unconfirmed results are produced again, byte for byte. The results of one source partition reach an
output partition in the order of their offsets, and a duplicate reaches the partition of the original: the key selects
it, and for records without a key the source partition does. So a result is a duplicate exactly if the output partition
has already had one from the same source partition with the same or a higher offset.

This does not hold when the number of partitions of the source topic changes, nor for scores whose batch the broker
rejected as too large (docs/decisions/0046): store the sources themselves, or run the worker exactly-once. The offsets
of a topic that was deleted and recreated start again: use a new filter then.
"""

from __future__ import annotations

from schemas.records import Source


class RepeatFilter:
    """Keeps the highest source offset seen for each output partition and source partition.

    Pass it every result of the output partitions that you read, in order. It stores one number per pair of partitions;
    save `state` together with your own offsets if duplicates must also be dropped after your own restart.
    """

    def __init__(self, state: dict[tuple[int, str, int], int] | None = None) -> None:
        """Start empty, or from the `state` of an earlier filter."""
        self.state = {} if state is None else dict(state)

    def is_new(self, output_partition: int, source: Source) -> bool:
        """Return whether a result from `output_partition` is the first for its source record, and remember it."""
        place = (output_partition, source.topic, source.partition)
        if source.offset <= self.state.get(place, -1):
            return False
        self.state[place] = source.offset
        return True
