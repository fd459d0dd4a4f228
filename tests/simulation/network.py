"""The network between clients and broker: delays, cuts, lost messages, and retries that overtake requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.simulation.scheduler import Process, Scheduler, Timer

GROUP: Final = "group"
INPUT: Final = "input"
OUTPUT: Final = "output"
TRANSACTION: Final = "transaction"
OFFSETS: Final = "offsets"
ADMIN: Final = "admin"
_PRODUCER: Final = (OUTPUT, TRANSACTION, OFFSETS)
ROLES: Final = (GROUP, INPUT, OUTPUT, TRANSACTION, OFFSETS)
"""A worker's connections: its consumer's to the group coordinator and to the partitions' leaders, its producer's to the
leaders, to the transaction coordinator and to the group coordinator. Each can break alone."""
REQUEST_SECONDS: Final = 1.0
"""After this time without a response, the client closes the connection and retries on another."""
_FETCH_SECONDS: Final = 4.0
"""The longest time that a fetch waits for new records."""
_JOIN_SECONDS: Final = 55.0
"""A client waits this long to join (`max.poll.interval.ms`) if no other request shows that its connection is dead."""
_RETRY_SECONDS: Final = 0.1
_QUICK: Final = 0.004
_SLOW: Final = 0.45
BACKOFF_SECONDS: Final = 0.6
"""The transactional client's `retry.backoff.ms`, with a jitter of a fifth."""
_OFFSETS_RETRY_SECONDS: Final = 0.5
_LATEST: Final = 4.0
JOIN: Final = "join"
END_TXN: Final = "end"
OFFSET_COMMIT: Final = "commit"
TXN_OFFSET_COMMIT: Final = "commit offsets"

Answer = Callable[[Any], None]
Handler = Callable[[Answer], None]


class Network:
    """Delivers requests. `down` and `slow` have the time until which a process cannot reach a role, or only slowly."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._random = scheduler.rng.random
        self.down: dict[tuple[str, str], float] = {}
        self.slow: dict[tuple[str, str], float] = {}
        self._latest: dict[tuple[str, str, bool], float] = {}
        """The arrival of the last message on a slow connection, by direction: a connection keeps their order."""
        self.late: dict[tuple[str, str], int] = {}
        """By process and kind of request: behind how many others the next one arrives, whose connection breaks."""
        self.stranded: dict[str, float] = {}
        """How long a process cannot reach its group from its next request to join."""
        self.joining: dict[str, Request] = {}
        """Each process's last request to join that was lost with its connection."""
        self.unanswered: set[str] = set()
        """The kinds of requests of which the next one is executed, but its response lost."""
        self.delayed: dict[str, float] = {}
        """The kinds of requests of which the next response is late, and by how many seconds."""
        self._copies: dict[str, tuple[int, Callable[[], None]]] = {}

    def is_down(self, process: Process, role: str) -> bool:
        """Whether this process cannot reach this role now."""
        return bool(self.down) and self.down.get((process.name, role), 0.0) > self._scheduler.now

    def delay(self, process: Process, role: str, *, back: bool = False) -> float:
        """Return the current latency of one direction, `back` to the client or to the broker."""
        if not self.slow or (until := self.slow.get((process.name, role))) is None:
            return self._random() * _QUICK
        now, way = self._scheduler.now, (process.name, role, back)
        seconds = 0.05 + self._random() * _SLOW if until > now else self._random() * _QUICK
        self._latest[way] = latest = max(now + seconds, self._latest.get(way, 0.0))
        return latest - now

    def keep(self, process: Process, handler: Handler, count: int) -> None:
        """Deliver a request of a broken connection behind `count` others of its producer, or a few seconds later."""
        timer = self._scheduler.later(self._random() * _LATEST, lambda: handler(_ignore))

        def deliver() -> None:
            if timer.function is not None and timer.when > self._scheduler.now:
                timer.cancel()
                handler(_ignore)

        self._copies[process.name] = count, deliver

    def note_sent(self, process: Process) -> None:
        """Count a producer's request: the kept one may be next."""
        if not self._copies:
            return
        count, deliver = self._copies.pop(process.name, (0, _nothing))
        if count > 1:
            self._copies[process.name] = count - 1, deliver
        elif count:
            self._scheduler.later(self._random() * _QUICK, deliver)


class Request:
    """A client's request, which is retried until it is answered or abandoned.

    The broker may execute it more than once, as a response may be lost: handlers must be idempotent.
    """

    __slots__ = (
        "_attempt",
        "_handler",
        "_is_once",
        "_kind",
        "_network",
        "_on_answer",
        "_process",
        "_role",
        "_timer",
        "is_over",
    )

    def __init__(  # the fields of a request
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
        """`is_once`: it is not retried, and ends with None without a response."""
        self._network, self._process, self._role, self._kind = network, process, role, kind
        self._handler, self._on_answer, self._is_once = handler, on_answer, is_once
        self._attempt = 0
        self._timer: Timer | None = None
        self.is_over = False
        self._send()

    def give_up(self) -> None:
        """Ignore its response, and let the broker discard what it has not read of it."""
        self._end()
        self._attempt += 1

    def _end(self) -> None:
        self.is_over = True
        if self._timer is not None:
            self._timer.cancel()

    def _send(self) -> None:
        network, process, role = self._network, self._process, self._role
        if self.is_over or process.is_dead:
            return
        scheduler = process.scheduler
        self._attempt = attempt = self._attempt + 1
        if network.late and (late := network.late.pop((process.name, self._kind), None)) is not None:
            self._lose_connection(late)
            return
        wait = _FETCH_SECONDS if self._kind == "fetch" else REQUEST_SECONDS
        if self._kind == JOIN and (seconds := network.stranded.pop(process.name, 0.0)):
            network.down[process.name, GROUP] = scheduler.now + seconds
            network.joining[process.name], wait = self, _JOIN_SECONDS
        if role in _PRODUCER:
            network.note_sent(process)
        if not network.is_down(process, role):
            scheduler.later(network.delay(process, role), lambda: self._arrive(attempt))
        self._timer = scheduler.later(wait, lambda: self._time_out(attempt), process)

    def _lose_connection(self, count: int) -> None:
        """Retry after librdkafka's backoff, as the connection is lost; this copy arrives later."""
        network, rng = self._network, self._process.scheduler.rng
        network.keep(self._process, self._handler, count)
        backoff = BACKOFF_SECONDS * (0.8 + 0.4 * rng.random()) if self._kind == END_TXN else _OFFSETS_RETRY_SECONDS
        self._process.later(network.delay(self._process, self._role) + backoff, self._send)

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
            if self._kind in network.unanswered:
                network.unanswered.discard(self._kind)
            elif not network.is_down(self._process, self._role):
                seconds = network.delay(self._process, self._role, back=True) + network.delayed.pop(self._kind, 0.0)
                self._process.later(seconds, lambda: self._hear(attempt, result))

        self._handler(answer)

    def _hear(self, attempt: int, result: Any) -> None:
        if not self.is_over and attempt == self._attempt:
            self._end()
            self._on_answer(result)

    def _time_out(self, attempt: int) -> None:
        if self.is_over or attempt != self._attempt:
            return
        # The connection is closed: what the broker has not read of it is discarded, and so is its response.
        self._attempt += 1
        if self._is_once:
            self.is_over = True
            self._on_answer(None)
        else:
            self._process.later(_RETRY_SECONDS, self._send)
        if self._role == GROUP and (join := self._network.joining.pop(self._process.name, None)) is not None:
            join._time_out(join._attempt)


def _ignore(_result: Any) -> None:
    pass


def _nothing() -> None:
    pass
