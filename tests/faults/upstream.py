"""A fault plan of the upstream producers: they abort transactions, or leave them open for long."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from confluent_kafka import Producer

from tests.faults.account import Sent
from tests.faults.load import Load
from tests.faults.plan_run import FaultDidNotOccurError, PlanRun

_WRITERS: Final = 3
_LARGEST: Final = 100
_ABORTED_SHARE: Final = 0.4
_CALL_SECONDS: Final = 60.0
_LAG: Final = "heartstream_consumer_lag_records"


class AbortingLoad(Load):
    """Produces by three transactional producers concurrently, and aborts four transactions in ten.

    While `open` is set, one of them keeps its transaction open; `is_open` is set when it does.
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
            # An open transaction has enough records for every partition to have some.
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
        """Begin a transaction and write records; return them once acknowledged."""
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


def aborted_input(run: PlanRun, quick: bool) -> str:  # noqa: FBT001  # every plan has this shape
    """Upstream producers abort transactions, or leave them open: no aborted record is scored, or counted in the lag.

    Records behind an open transaction are not readable, so they are not lag. At the end each partition is committed up
    to its end, beyond markers and aborted records. Nothing is lost or repeated.
    """
    load, times = run.load, 1 if quick else 4
    assert isinstance(load, AbortingLoad)
    for _ in range(2):
        run.start_worker()
    for _ in range(times):
        run.await_progress(1_000)
        load.open.set()
        run.await_until(load.is_open.is_set, "no transaction stays open")
        run.await_until(lambda: _is_at(run, run.outcomes.readable_ends()), "what can be read is not committed")
        if run.outcomes.ends() == run.outcomes.readable_ends():
            raise FaultDidNotOccurError("nothing is behind the open transaction")
        until = time.monotonic() + run.rng.uniform(2, 6)
        while time.monotonic() < until:
            run.last(0.2)
            if lag := run.workers.shown(_LAG):
                raise RuntimeError(f"a lag of {lag} records behind an open transaction")
        load.open.clear()
    load.stop()
    run.await_until(lambda: _is_at(run, run.outcomes.ends()), "the end is not committed")
    if not load.aborted:
        raise FaultDidNotOccurError("nothing was aborted")
    return f"{load.aborted:,} records aborted, {times} times open"


def _is_at(run: PlanRun, ends: dict[int, int]) -> bool:
    """Whether the group has committed up to these offsets, and the workers report no lag."""
    return run.outcomes.committed() == ends and not run.workers.shown(_LAG)
