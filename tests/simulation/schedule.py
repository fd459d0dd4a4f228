"""The schedule of a simulation: steps at points of virtual time, drawn from a seed."""

from __future__ import annotations

import random
from typing import Final

import msgspec

from tests.simulation.network import END_TXN, GROUP, INPUT, OUTPUT, ROLES, TXN_OFFSET_COMMIT

SECONDS: Final = 9.0
ALL: Final = "all"
_CALLS: Final = ("send_offsets_to_transaction", "commit_transaction", "commit_transaction")
_GRACEFUL: Final = ("produce", "produce", "start", "stop", "swap", "grow", "gap")
_FAULTS: Final = ("kill", "suspend", "cut", "cut", "refuse", "deaf", "slow", "strand", "hold")
_AT_LEAST_ONCE_FAULTS: Final = (*_FAULTS, "cut", "slow", "stop", "start")
_EXACTLY_ONCE_FAULTS: Final = (*_FAULTS, *2 * ("strand", "stuck", "late", "hold"), "hold")
"""Issues that come often have more than one place; none is drawn that its guarantee cannot meet."""
_AT_LEAST_ONCE_ROLES: Final = (GROUP, GROUP, INPUT, OUTPUT)
"""Without transactions, a producer connects to the partitions' leaders alone, and all offsets go by the consumer's
connection to its group."""
_NEAR_SHARE: Final = 0.6
_NEAR_SECONDS: Final = 2.0


class Step(msgspec.Struct, frozen=True):
    """One step. `target` selects a worker or partition, `role` a connection, `seconds` is how long it lasts."""

    at: float
    kind: str
    target: int = 0
    seconds: float = 0.0
    role: str = ""
    count: int = 0

    def describe(self) -> str:
        """Return the step as a line."""
        parts = [f"{self.at:7.3f} s  {self.kind:8}"]
        if self.kind == "produce":
            parts.append(f"{self.count} records to partition {self.target}")
        elif self.kind not in {"grow", "swap", "start"}:
            parts.append(f"target {self.target}")
        if self.kind == "late":
            parts.append(f"request {self.role}, {self.count} others before it")
        elif self.role:
            parts.append(f"connection {self.role}")
        if self.seconds:
            parts.append(f"for {self.seconds:.2f} s")
        return " ".join(parts).rstrip()


class Schedule(msgspec.Struct, frozen=True):
    """Everything that a simulation depends on. `is_graceful`: it has no faults, so nothing may be repeated."""

    seed: int
    is_exactly_once: bool
    is_graceful: bool
    holds: float
    """How often a preempted thread is delayed for longer."""
    partitions: int
    workers: int
    steps: tuple[Step, ...]

    @property
    def guarantee(self) -> str:
        """Return the delivery guarantee that the workers are configured for."""
        return "exactly once" if self.is_exactly_once else "at least once"

    def describe(self) -> str:
        """Return the schedule as lines."""
        head = f"seed {self.seed}: {self.guarantee}, {self.workers} workers, {self.partitions} partitions"
        return "\n".join([head, *(f"  {step.describe()}" for step in self.steps)])


def draw(seed: int) -> Schedule:
    """Return the schedule of a seed. Each has its own few kinds of faults, so that rare ones coincide."""
    rng = random.Random(seed)  # noqa: S311  # a schedule, not a secret
    is_exactly_once, is_graceful = rng.random() < 0.5, rng.random() < 0.25
    kinds = list(_GRACEFUL)
    if is_graceful:
        kinds += ["start", "stop"]
    else:
        faults = _EXACTLY_ONCE_FAULTS if is_exactly_once else _AT_LEAST_ONCE_FAULTS
        kinds += 8 * rng.sample(faults, rng.randint(1, 3))
    roles = ROLES if is_exactly_once else _AT_LEAST_ONCE_ROLES
    steps = [
        Step(rng.random(), "produce", target, rng.choice((0.0, 8.0)), count=rng.randint(3, 20)) for target in range(2)
    ]
    steps += [_step(rng, at, rng.choice(kinds), roles) for at in _moments(rng, rng.randint(2, 12))]
    return Schedule(
        seed,
        is_exactly_once,
        is_graceful,
        rng.choice((0.0, 0.02, 0.2)),
        rng.randint(1, 3),
        rng.randint(1, 3),
        tuple(sorted(steps, key=lambda step: step.at)),
    )


def _moments(rng: random.Random, count: int) -> list[float]:
    """Return times of which many soon follow another: a fault does most harm to what has just begun."""
    moments: list[float] = []
    for _ in range(count):
        is_near = moments and rng.random() < _NEAR_SHARE
        moments.append(rng.choice(moments) + _NEAR_SECONDS * rng.random() if is_near else rng.random() * SECONDS)
    return moments


def _step(rng: random.Random, at: float, kind: str, roles: tuple[str, ...]) -> Step:
    share = rng.random()
    seconds = {
        "produce": rng.choice((0.0, 4 * share)),
        "slow": 4 * share,
        "cut": 0.2 + 12 * share**2,
        "suspend": 10 * share,
        "refuse": 4 * share,
        "strand": 5 + 20 * share,
        "hold": 2 + 4 * share,
    }
    connections = {
        "slow": roles,
        "cut": (*roles, OUTPUT, ALL),
        "stuck": _CALLS,
        "late": (END_TXN, END_TXN, TXN_OFFSET_COMMIT),
    }
    counts = {"produce": (1, 3, 10, 20, 40), "late": (1, 2, 3, 4, 5, 6, 8)}
    return Step(
        at,
        kind,
        rng.randrange(6),
        seconds.get(kind, 0.0),
        rng.choice(connections.get(kind, ("",))),
        rng.choice(counts.get(kind, (0,))),
    )
