"""The headers of a Kafka record, whatever its producer made of them.

Kafka's headers have names in UTF-8 by convention alone. Where one is not, confluent-kafka returns a tuple without its
name and an error at once. Only a call that comes from C notices that, as a SystemError: Python's own calls, once they
have run some times, look at the result alone. To read a name that is missing would end the process.
"""

from __future__ import annotations

import gc
from operator import methodcaller
from typing import Any, Final, Protocol

UNREADABLE_NAME: Final = "heartstream.unreadable-name"
"""The name under which a header's value is kept where the header's own name is not UTF-8."""
_PAIR: Final = 2
_checked_call: Final = methodcaller("headers")

RecordHeaders = list[tuple[str, bytes | None]]


class Record(Protocol):
    """A message of the Kafka client."""

    def headers(self) -> Any:
        """Return the headers, None where there are none."""
        ...

    def set_headers(self, headers: Any) -> None:
        """Replace them."""
        ...


def headers_of(record: Record) -> RecordHeaders:
    """Return a record's headers in order; a value whose name is not UTF-8 stands under `UNREADABLE_NAME`."""
    try:
        found: RecordHeaders | None = _checked_call(record)
    except SystemError:
        # Not even an iterator may touch a missing name; the garbage collector's view leaves it out.
        pairs = [
            pair if len(gc.get_referents(pair)) == _PAIR else (UNREADABLE_NAME, pair[1]) for pair in record.headers()
        ]
        record.set_headers(pairs)
        return pairs
    return found or []
