"""The timestamp of a Kafka record, which its producer may have left out."""

from __future__ import annotations

from typing import Any, Final, Protocol

NO_TIMESTAMP: Final = -1
"""What Kafka's protocol, and so the client, has in place of a timestamp that a producer did not set.

The client says of such a record, as of any other, that its producer chose the time.
"""


class Record(Protocol):
    """A message of the Kafka client."""

    def timestamp(self) -> Any:
        """Return the kind of timestamp, and milliseconds since 1970."""
        ...


def timestamp_of(record: Record) -> int | None:
    """Return a record's timestamp in milliseconds since 1970, None where it has none."""
    milliseconds: int = record.timestamp()[1]
    return None if milliseconds == NO_TIMESTAMP else milliseconds
