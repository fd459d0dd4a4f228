"""Several workers in one consumer group, watched as one."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from subprocess import Popen
from typing import Final

import msgspec
from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from bench.contenders import Contender
from bench.contest import Names, check, environment, running
from bench.cost import resident_mib
from bench.idle import await_ready
from bench.meter import POLL_SECONDS, STALL_SECONDS, START_SECONDS, Meter, Sample, committed
from bench.stage import Stage
from runtime.ports import free_port

_MEMORY_SECONDS: Final = 0.25
_ASK_SECONDS: Final = 0.1
_CALL_SECONDS: Final = 5.0


class Memory(msgspec.Struct, frozen=True):
    """The resident memory of all workers together at one moment, in MiB."""

    at: float
    mib: float


class Fleet:
    """Workers of one group on one stage. `new_fleet` makes it, and ends what still runs."""

    def __init__(self, contender: Contender, stage: Stage, names: Names, stack: ExitStack) -> None:
        self.stage = stage
        self.names = names
        self.meter = Meter(stage.address, names.scores, stage.partitions)
        self.memory: list[Memory] = []
        self._admin = AdminClient({"bootstrap.servers": stage.address, "log_level": 2})
        self._contender = contender
        self._stack = stack
        self._processes: list[Popen[bytes]] = []
        self._ports: list[int] = []

    def add(self) -> int:
        """Start one more worker; returns its number."""
        port, number = free_port(), len(self._processes)
        variables = environment(self._contender, self.stage, self.names, port)
        log = self.stage.folder / f"{self.names.group}-{number}.log"
        self._processes.append(self._stack.enter_context(running(self._contender, variables, log)))
        self._ports.append(port)
        return number

    def await_ready(self) -> None:
        """Wait until they are. Raises TimeoutError."""
        for port in self._ports:
            await_ready(port, self.check)

    @property
    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [process.pid for process in self._processes]

    def await_balanced(self) -> None:
        """Wait until the group is stable and each member has its fair share of the partitions. Raises TimeoutError."""
        fair = self.stage.partitions // len(self._processes)
        deadline = time.monotonic() + START_SECONDS
        while not self._is_balanced(fair):
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError("the group does not share its partitions fairly in a minute")
            time.sleep(_ASK_SECONDS)

    def _is_balanced(self, fair: int) -> bool:
        name = self.names.group
        asked = self._admin.describe_consumer_groups([name], request_timeout=_CALL_SECONDS)[name]
        try:
            group = asked.result(2 * _CALL_SECONDS)
        except (KafkaException, TimeoutError):
            # A broker that has just started looks for the group's coordinator.
            return False
        shares = [len(member.assignment.topic_partitions) for member in group.members]
        return group.state == ConsumerGroupState.STABLE and len(shares) == len(self._processes) and min(shares) >= fair

    def check(self) -> None:
        """Raise RuntimeError if a worker has ended."""
        for process in self._processes:
            check(process)

    def ask_to_leave(self, number: int) -> None:
        """Tell one worker to stop, and do not wait for it: it drains, commits and leaves while others are watched."""
        process = self._processes.pop(number)
        self._ports.pop(number)
        process.send_signal(signal.SIGTERM)

    def sample(self) -> Sample:
        """Look once; notes the memory now and then."""
        now = time.monotonic()
        if not self.memory or now - self.memory[-1].at >= _MEMORY_SECONDS:
            self.memory.append(Memory(now, sum(resident_mib(process.pid) for process in self._processes)))
        return self.meter.sample(*self.pids)

    def _is_whole(self, results: int) -> bool:
        """Say whether `results` are committed; where there are no transactions, what is readable is not asked twice."""
        if not self._contender.transactional:
            return True
        stage = self.stage
        return sum(committed(stage.address, self.names.group, stage.topic, stage.partitions)) >= results

    def watch(self, results: int) -> list[Sample]:
        """Sample until at least `results` are there. Raises TimeoutError when nothing comes any more."""
        samples = [self.sample()]
        deadline = time.monotonic() + START_SECONDS
        while sum(samples[-1].ends) < results or not self._is_whole(results):
            time.sleep(POLL_SECONDS)
            samples.append(self.sample())
            self.check()
            if sum(samples[-1].ends) > sum(samples[-2].ends):
                deadline = time.monotonic() + STALL_SECONDS
            if time.monotonic() > deadline:
                raise TimeoutError(f"no result after the first {sum(samples[-1].ends):,} in time")
        return samples


@contextmanager
def new_fleet(contender: Contender, stage: Stage, workers: int) -> Iterator[Fleet]:
    """Start workers on a fresh group and output."""
    names = Names.fresh(stage, contender)
    try:
        with ExitStack() as stack:
            fleet = Fleet(contender, stage, names, stack)
            for _ in range(workers):
                fleet.add()
            yield fleet
    finally:
        names.remove(stage)
