"""A fault plan of the producers upstream: they abort transactions, and leave them open for long."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from confluent_kafka import Producer

from tests.faults.account import Sent
from tests.faults.load import Load
from tests.faults.stage import FaultDidNotOccurError, Stage

_WRITERS: Final = 3
_LARGEST: Final = 100
_ABORTED_SHARE: Final = 0.4
_CALL_SECONDS: Final = 60.0
_LAG: Final = "heartstream_consumer_lag_records"


class AbortingLoad(Load):
    """Produces by three transactional producers at once, and aborts four transactions in ten.

    While `open` is set, one of them keeps its transaction open; `is_open` says that it does.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.aborted = 0
        self.open, self.is_open = threading.Event(), threading.Event()
        self._taking = threading.Lock()

    def _flow(self) -> None:
        with ThreadPoolExecutor(_WRITERS) as pool:
            for failure in [each.exception() for each in [pool.submit(self._write, n) for n in range(_WRITERS)]]:
                self._failure = repr(failure) if failure is not None else self._failure

    def _write(self, number: int) -> None:
        """Write transactions one after the other until stopped."""
        rng = random.Random(f"{self._seed} {number}")  # noqa: S311  # for variety, not for secrets
        options = {"transactional.id": f"upstream-{self._topic}-{number}", "partitioner": "murmur2_random"}
        producer = Producer({"bootstrap.servers": self._address, "log_level": 0, **options})
        producer.init_transactions(_CALL_SECONDS)
        while not self._stopping.is_set():
            stays = number == 0 and self.open.is_set()
            # Those of the open one are enough for every partition to have some.
            records = _LARGEST if stays else rng.randint(1, _LARGEST)
            sent = self._transact(producer, records)
            if stays:
                self._stay_open()
            if rng.random() < _ABORTED_SHARE:
                producer.abort_transaction(_CALL_SECONDS)
                self.aborted += records
            else:
                producer.commit_transaction(_CALL_SECONDS)
                self.sent += sent
            self._stopping.wait(records * _WRITERS / self.rate)

    def _transact(self, producer: Producer, records: int) -> list[Sent]:
        """Begin a transaction and write records; returns them as the broker has them."""
        sent: list[Sent] = []
        producer.begin_transaction()
        for _ in range(records):
            with self._taking:
                key, value = next(self._records)
            producer.produce(self._topic, value, key, on_delivery=self._confirming(key, value, sent))
        producer.flush(_CALL_SECONDS)
        return sent

    def _stay_open(self) -> None:
        self.is_open.set()
        while self.open.is_set() and not self._stopping.wait(0.05):
            pass
        self.is_open.clear()


def aborted_input(stage: Stage, quick: bool) -> str:  # noqa: FBT001  # every plan has this shape
    """Upstream producers abort, and leave transactions open: no aborted record is scored, and lag counts none.

    What is behind an open transaction cannot be read: it is no lag. Each partition is committed up to the end in the
    end, beyond markers and aborted records. Nothing is lost or repeated.
    """
    load, times = stage.load, 1 if quick else 4
    assert isinstance(load, AbortingLoad)
    for _ in range(2):
        stage.start_worker()
    for _ in range(times):
        stage.await_progress(1_000)
        load.open.set()
        stage.await_until(load.is_open.is_set, "no transaction stays open")
        stage.await_until(lambda: _is_at(stage, stage.outcomes.readable_ends()), "what can be read is not committed")
        if stage.outcomes.ends() == stage.outcomes.readable_ends():
            raise FaultDidNotOccurError("nothing is behind the open transaction")
        until = time.monotonic() + stage.rng.uniform(2, 6)
        while time.monotonic() < until:
            stage.last(0.2)
            if lag := stage.crew.shown(_LAG):
                raise RuntimeError(f"a lag of {lag} records behind an open transaction")
        load.open.clear()
    load.stop()
    stage.await_until(lambda: _is_at(stage, stage.outcomes.ends()), "the end is not committed")
    if not load.aborted:
        raise FaultDidNotOccurError("nothing was aborted")
    return f"{load.aborted:,} records aborted, {times} times open"


def _is_at(stage: Stage, ends: dict[int, int]) -> bool:
    """Say whether the group has committed up to these offsets, and the workers show no lag."""
    return stage.outcomes.committed() == ends and not stage.crew.shown(_LAG)
