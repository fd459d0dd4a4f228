"""What lies between clients and broker: delays, cuts, lost requests and answers, and retries that overtake them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.simulation.scheduler import Process, Scheduler

GROUP: Final = "group"
INPUT: Final = "input"
OUTPUT: Final = "output"
TRANSACTION: Final = "transaction"
OFFSETS: Final = "offsets"
ADMIN: Final = "admin"
ROLES: Final = (GROUP, INPUT, OUTPUT, TRANSACTION, OFFSETS)
"""A worker's connections: its consumer's to the group coordinator and to the partitions' leaders, its producer's to the
leaders, to the transaction coordinator and to the group coordinator. Each can break alone."""
REQUEST_SECONDS: Final = 1.0
"""After this long without an answer, the client closes the connection and sends the request again on another."""
_FETCH_SECONDS: Final = 4.0
"""A fetch waits for news that long."""
_RETRY_SECONDS: Final = 0.1
_QUICK: Final = 0.004
_LATE_SHARE: Final = 0.5
_LATEST: Final = 2.0

Answer = Callable[[Any], None]
Handler = Callable[[Answer], None]


class Network:
    """Carries requests. `down` and `slow` say until when a process cannot reach a role, or only slowly."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._rng = scheduler.rng
        self.down: dict[tuple[str, str], float] = {}
        self.slow: dict[tuple[str, str], float] = {}
        self.late: frozenset[str] = frozenset()
        """Kinds of requests that a broken connection may still deliver, after their repetition."""

    def is_down(self, process: Process, role: str) -> bool:
        """Say whether this process cannot reach this role now."""
        return self.down.get((process.name, role), 0.0) > self._scheduler.now

    def delay(self, process: Process, role: str) -> float:
        """Return how long one way takes now."""
        if self.slow.get((process.name, role), 0.0) > self._scheduler.now:
            return 0.05 + self._rng.random() * 1.2
        return self._rng.random() * _QUICK


class Request:
    """One request of a client, which sends it again until it is answered or given up.

    It may be done at the broker more than once, as an answer may be lost: handlers must be able to take that.
    """

    __slots__ = ("_attempt", "_handler", "_is_once", "_kind", "_network", "_on_answer", "_process", "_role", "is_over")

    def __init__(  # what a request is made of
        self,
        network: Network,
        process: Process,
        role: str,
        kind: str,
        handler: Handler,
        on_answer: Answer,
        *,
        is_once: bool = False,
    ) -> None:
        """`is_once`: it is not repeated by itself, and ends with None where no answer came."""
        self._network, self._process, self._role, self._kind = network, process, role, kind
        self._handler, self._on_answer, self._is_once = handler, on_answer, is_once
        self._attempt = 0
        self.is_over = False
        self._send()

    def give_up(self) -> None:
        """Hear of it no more, and let the broker drop what it has not read of it."""
        self.is_over = True
        self._attempt += 1

    def _send(self) -> None:
        if self.is_over or self._process.is_dead:
            return
        network, scheduler = self._network, self._process.scheduler
        self._attempt += 1
        attempt = self._attempt
        if network.is_down(self._process, self._role):
            self._deliver_late(network.down[self._process.name, self._role] - scheduler.now)
        else:
            scheduler.later(network.delay(self._process, self._role), lambda: self._arrive(attempt))
        seconds = _FETCH_SECONDS if self._kind == "fetch" else REQUEST_SECONDS
        self._process.later(seconds, lambda: self._time_out(attempt))

    def _deliver_late(self, seconds: float) -> None:
        """Let a broken connection deliver a request after all, if it is of such a kind: nobody hears the answer."""
        scheduler = self._process.scheduler
        if self._kind in self._network.late and scheduler.rng.random() < _LATE_SHARE:
            scheduler.later(seconds + scheduler.rng.random() * _LATEST, lambda: self._handler(_ignore))

    def _arrive(self, attempt: int) -> None:
        if attempt != self._attempt:
            return
        answered = False

        def answer(result: Any) -> None:
            nonlocal answered
            if answered or attempt != self._attempt:
                return
            answered = True
            network = self._network
            if not network.is_down(self._process, self._role):
                self._process.later(network.delay(self._process, self._role), lambda: self._hear(attempt, result))

        self._handler(answer)

    def _hear(self, attempt: int, result: Any) -> None:
        if not self.is_over and attempt == self._attempt:
            self.is_over = True
            self._on_answer(result)

    def _time_out(self, attempt: int) -> None:
        if self.is_over or attempt != self._attempt:
            return
        # The connection is closed: what the broker has not read of it is dropped, and its answer is not heard.
        self._attempt += 1
        if self._is_once:
            self.is_over = True
            self._on_answer(None)
        else:
            self._process.later(_RETRY_SECONDS, self._send)


def _ignore(_result: Any) -> None:
    pass
