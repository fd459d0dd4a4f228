"""Destroys a librdkafka client in a thread of its own, as that may block while the client is stuck."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def destroyed_in_thread(client: object) -> Iterator[None]:
    """Give the last reference to a client to a thread; the body must drop all others."""
    dropped = threading.Event()
    threading.Thread(target=_outlive, args=(dropped, client), name="old-producer", daemon=True).start()
    del client
    try:
        yield
    finally:
        dropped.set()


def _outlive(dropped: threading.Event, _client: object) -> None:
    """Hold the last reference until the others are dropped, so that this thread destroys the client."""
    dropped.wait()
