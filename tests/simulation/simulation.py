"""Runs one schedule: workers, broker and faults in virtual time, and reports which law was violated."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import msgspec

from schemas.errors import DependencyError
from tests.simulation.cluster import Cluster
from tests.simulation.laws import Laws
from tests.simulation.network import ROLES
from tests.simulation.schedule import ALL, SECONDS, Schedule, Step
from tests.simulation.scheduler import Scheduler
from tests.simulation.threads import World
from tests.simulation.worker import DEAD_LETTERS, PATIENTS, SCORES, Worker

_SETTLE_SECONDS: Final = 90.0
"""A client waits 55 s for a lost request to join (a real one five minutes, decision 54), and is replaced later."""
_STOP_SECONDS: Final = 30.0
_CHECK_SECONDS: Final = 0.5
_PREEMPT_SHARE: Final = 0.1
_HOLD_SHARE: Final = 0.1
_PORTION_SECONDS: Final = 0.5
_OUTPUTS: Final = 2
_MOST_STEPS: Final = 50_000
_MAY_END: Final = ("could not be delivered", "cannot read the committed offsets", "does not answer in time")


class Outcome(msgspec.Struct):
    """The result of a simulation. `broken` is the first law that was violated."""

    broken: str | None
    steps: int
    seconds: float
    repeats: int
    ends: list[str]


class Simulation:
    """One schedule on one cluster."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._rng = random.Random(~schedule.seed)  # noqa: S311  # a schedule, not a secret
        self.scheduler = World.scheduler = Scheduler(self._rng, _PREEMPT_SHARE, schedule.holds)
        self._cluster = World.cluster = Cluster(self.scheduler)
        topics = self._cluster.topics
        topics.create(PATIENTS, schedule.partitions)
        topics.create(SCORES, _OUTPUTS)
        topics.create(DEAD_LETTERS, 1)
        may_repeat = not (schedule.is_exactly_once or schedule.is_graceful)
        self._laws = Laws(self._cluster, may_repeat=may_repeat)
        self._workers: list[Worker] = []
        self._version = 1
        self._started = 0
        self._is_over = self._is_stopping = False
        self._ends: list[str] = []

    def run(self) -> Outcome:
        """Run to the end, or until a law is violated."""
        begin = self.scheduler.now
        for _ in range(self._schedule.workers):
            self._start()
        for step in self._schedule.steps:
            self.scheduler.later(step.at, self._doing(step))
        self._calm_at = begin + max(
            (SECONDS / 3, *(step.at + step.seconds for step in self._schedule.steps)), default=0.0
        )
        self.scheduler.later(_CHECK_SECONDS, self._check)
        while self._laws.broken is None and not self._is_over and self.scheduler.step():
            if self.scheduler.steps > _MOST_STEPS:
                self._laws.broken = "endless: time does not go on"
        # An abandoned delivery is repeated behind what the client could deliver meanwhile.
        if not any("could not be delivered" in end for end in self._ends):
            self._laws.check_order()
        for worker in self._workers:
            if worker.is_running:
                worker.kill()
        self.scheduler.close()
        return Outcome(
            self._laws.broken, self.scheduler.steps, self.scheduler.now - begin, self._laws.repeats, self._ends
        )

    def _doing(self, step: Step) -> Callable[[], None]:
        return lambda: getattr(self, f"_do_{step.kind}")(step)

    def _start(self) -> None:
        self._started += 1
        self._workers.append(
            Worker(
                self.scheduler,
                f"worker-{self._started}",
                is_exactly_once=self._schedule.is_exactly_once,
                version=self._version,
            )
        )

    def _chosen(self, step: Step) -> Worker | None:
        """Return a running worker: two thirds of the time one with partitions, as others have little to lose."""
        running = [worker for worker in self._workers if worker.is_running]
        if step.target % 3:
            running = [worker for worker in running if worker.has_partitions()] or running
        return running[step.target % len(running)] if running else None

    def _do_produce(self, step: Step) -> None:
        """Produce all records at once, or evenly over some seconds."""
        portions = 1 + int(step.seconds / _PORTION_SECONDS)
        for number in range(portions):
            count = step.count * (number + 1) // portions - step.count * number // portions
            self.scheduler.later(
                step.seconds * number / portions, lambda count=count: self._produce(step.target, count)
            )

    def _produce(self, target: int, count: int) -> None:
        topics = self._cluster.topics
        partition = target % topics.partitions[PATIENTS]
        first = len(topics.logs[PATIENTS, partition].entries)
        for place in range(first, first + count):
            key = b"key-%d" % (place % 3)
            topics.publish(PATIENTS, partition, key, [b"%d/%d" % (partition, place)])

    def _do_gap(self, step: Step) -> None:
        topics = self._cluster.topics
        topics.publish(PATIENTS, step.target % topics.partitions[PATIENTS], None, [None])

    def _do_grow(self, _step: Step) -> None:
        topics = self._cluster.topics
        topics.create(PATIENTS, topics.partitions[PATIENTS] + 1)
        self.scheduler.later(self._rng.random() * 2, self._cluster.group.rebalance)

    def _do_start(self, _step: Step) -> None:
        if sum(worker.is_running for worker in self._workers) < 4:
            self._start()

    def _do_stop(self, step: Step) -> None:
        if (worker := self._chosen(step)) is not None:
            worker.terminate()

    def _do_kill(self, step: Step) -> None:
        if (worker := self._chosen(step)) is not None:
            worker.kill()
            self._workers.remove(worker)

    def _do_swap(self, _step: Step) -> None:
        self._version += 1
        for worker in self._workers:
            worker.model.version = self._version

    def _do_suspend(self, step: Step) -> None:
        if (worker := self._chosen(step)) is not None:
            worker.process.suspended_to = self.scheduler.now + step.seconds

    def _do_slow(self, step: Step) -> None:
        if (worker := self._chosen(step)) is not None:
            self._cluster.network.slow[worker.name, step.role] = self.scheduler.now + step.seconds

    def _do_cut(self, step: Step) -> None:
        if (worker := self._chosen(step)) is not None:
            for role in ROLES if step.role == ALL else (step.role,):
                self._cluster.network.down[worker.name, role] = self.scheduler.now + step.seconds

    def _do_late(self, step: Step) -> None:
        if (worker := self._chosen(step)) is not None:
            self._cluster.network.late[worker.name, step.role] = step.count

    def _do_strand(self, step: Step) -> None:
        """Cause a rebalance in the middle of which a member loses its connection."""
        if (worker := self._chosen(step)) is not None:
            self._cluster.network.stranded[worker.name] = step.seconds
            self._cluster.group.rebalance()

    def _do_hold(self, step: Step) -> None:
        """Block a busy worker's event loop when it takes a lock; meanwhile the group continues without the worker."""
        if (worker := self._chosen(step)) is None:
            return

        def hold() -> float:
            if not worker.is_busy() or self._rng.random() > _HOLD_SHARE:
                return 0.0
            worker.process.hold = None
            self._cluster.group.expel(worker.name)
            return step.seconds

        worker.process.hold = hold

    def _do_refuse(self, step: Step) -> None:
        self._cluster.group.refuses_until = self.scheduler.now + step.seconds

    def _do_stuck(self, step: Step) -> None:
        if (worker := self._chosen(step)) is not None and (client := worker.client()) is not None:
            client.stuck_in, client.does_stuck_call = step.role, step.target % 2 == 0

    def _do_deaf(self, step: Step) -> None:
        worker = self._chosen(step)
        if worker is not None and worker.consumer is not None and worker.consumer.thread is not None:
            worker.consumer.thread.client.consumer.is_deaf = True  # type: ignore[attr-defined]

    def _check(self) -> None:
        """Check whether workers have ended and, when all faults are over, whether all is done."""
        self.scheduler.later(_CHECK_SECONDS, self._check)
        for worker in [worker for worker in self._workers if worker.has_ended]:
            self._workers.remove(worker)
            self._judge(worker)
            if worker.error is not None and not self._is_stopping:
                self._start()
        calm = self.scheduler.now - self._calm_at
        if calm < 0 or self._laws.broken is not None:
            return
        if self._is_stopping:
            self._see_them_end(calm)
        elif not any(worker.is_running for worker in self._workers):
            self._start()
        elif self._laws.is_done():
            self._is_stopping = True
            self._calm_at = self.scheduler.now
            for worker in self._workers:
                if worker.is_running:
                    worker.terminate()
        elif calm > _SETTLE_SECONDS:
            self._laws.broken = "unfinished: records wait or are not committed, long after all faults"

    def _see_them_end(self, seconds: float) -> None:
        """When all is done, stopped workers end, and the committed offsets stay."""
        self._is_over = not self._workers
        if not self._laws.is_done():
            self._laws.broken = "undone: what was committed is committed no more"
        elif seconds > _STOP_SECONDS:
            self._laws.broken = f"hanging: {self._workers[0].name} does not end"

    def _judge(self, worker: Worker) -> None:
        """A worker may end by itself only if a fault outlasts the time that the product is given for it."""
        error = worker.error
        if error is None:
            self._see_it_left(worker)
            return
        self._ends.append(f"{worker.name}: {type(error).__name__}: {error}")
        may_end = isinstance(error, DependencyError) and any(text in str(error) for text in _MAY_END)
        if self._schedule.is_graceful or not may_end:
            self._laws.broken = f"ended: {worker.name} by {type(error).__name__}: {error}"

    def _see_it_left(self, worker: Worker) -> None:
        """A stopped worker has left the group, unless it could not."""
        stays = any(member.startswith(f"{worker.name}/") for member in self._cluster.group.members())
        if stays and self._schedule.is_graceful:
            self._laws.broken = f"no leave: {worker.name} ended, and the group waits for it"
