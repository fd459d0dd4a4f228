"""Behaviours of ExactlyOnce.tla as the workers would log them: random walks through the checker's graph of states."""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec

from tests.faults.trace import Step
from tests.model.runs import FOLDER

_WORKER: Final = re.compile(
    r"(w\d) \|-> \[batch \|-> (\d+), epoch \|-> \d+, gen \|-> \d+, held \|-> (\w+), lease \|-> (\w+), "
    r'meta \|-> \d+, next \|-> \d+, step \|-> \\"(\w+)\\", unsure \|-> (\w+)\]'
)
_STATE: Final = re.compile(r'^  (s\d+) \[label="(.*)"')
FAULTS: Final = ("Revoked", "Expired", "Rebalanced", "SentAgain", "TimedOut", "Silent", "Restarted")
WAITING: Final = ("storing", "committing", "aborting")
_EDGE: Final = re.compile(r'^  (s\d+) -> (s\d+) \[label="(\w+)"')


class Worker(msgspec.Struct, frozen=True):
    """What the model's worker knows, as far as it shows in a log."""

    batch: int
    held: bool
    lease: bool
    step: str
    unsure: bool


class State(msgspec.Struct, frozen=True):
    """A state of the model."""

    committed: int
    workers: Mapping[str, Worker]


class Graph(msgspec.Struct, frozen=True):
    """The states that the model can reach, and the actions that lead from each to the next."""

    states: Mapping[str, State]
    edges: Mapping[str, list[tuple[str, str]]]

    @classmethod
    def explore(cls, tla: Path, file: Path, without: str = "") -> Graph:
        """Have the checker write its graph for one fault, perhaps without a safeguard, and read it."""
        command = [str(tla), str(FOLDER / "ExactlyOnce.tla"), "-c", "MaxFaults=1", "--dot-mode", "full", "--continue"]
        command += ["-c", f"{without}=FALSE"] if without else []
        subprocess.run([*command, "--export-dot", str(file)], check=not without, capture_output=True)
        states: dict[str, State] = {}
        edges: dict[str, list[tuple[str, str]]] = {}
        for line in file.read_text().splitlines():
            if edge := _EDGE.match(line):
                edges.setdefault(edge[1], []).append((edge[3], edge[2]))
            elif node := _STATE.match(line):
                states[node[1]] = _state(node[2])
        return cls(states, edges)

    def walks(self, count: int, seed: int) -> Iterator[list[Step]]:
        """Yield what the workers would log in so many behaviours, each until every record is done.

        Each has one or two kinds of faults: else those that can happen early would use up the budget for all others.
        """
        rng = random.Random(seed)  # noqa: S311  # for variety, not for secrets
        for _ in range(count):
            log, here = Log(), "s0"
            left_out = set(rng.sample(FAULTS, len(FAULTS) - rng.randint(1, 2)))
            while self.edges.get(here):
                edges = [edge for edge in self.edges[here] if edge[0] not in left_out]
                action, there = rng.choice(edges or self.edges[here])
                if action == "Done":
                    break
                log.add(action, self.states[here], self.states[there])
                here = there
            yield log.steps


class Log:
    """What the workers of one behaviour have logged. Batch b is the record at offset b - 1 of partition 0."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._process = {"w1": 0, "w2": 0}
        self._fresh: set[str] = set()
        """Processes that have not yet fenced what their predecessor left; that is not logged."""

    def add(self, action: str, before: State, after: State) -> None:
        """Add what a worker logs of an action: nothing, where the broker alone knows of it."""
        if action == "SentAgain":
            changed = [name for name, new in after.workers.items() if new != before.workers[name]]
            waiting = [name for name, worker in before.workers.items() if worker.step in WAITING]
            self._add((changed or waiting)[0], "SentAgain", seconds=1.0)
            return
        for name, new in after.workers.items():
            old = before.workers[name]
            if action == "Restarted" and (old != new or old.step == "dead"):
                self._process[name] += 1
                self._fresh.add(name)
            elif old != new:
                self._log(name, action, old, new, before.committed)

    def _log(self, name: str, action: str, old: Worker, new: Worker, committed: int) -> None:
        if action == "Assigned":
            self._add(name, action, offsets={0: committed or None})
        elif action == "Revoked" or (action == "Lost" and old.lease):
            self._add(name, action, partitions=(0,), flag=action == "Revoked" and old.batch == 0)
        elif action == "Begun":
            self._add(name, action)
        elif action == "LookedAtLease" and new.step != "aborting":
            self._add(name, "OffsetsSent", offsets={0: old.batch})
        elif action == "Replaced" and name not in self._fresh:
            self._add(name, "Replaced", call="commit_transaction")
        elif action == "Learned":
            self._learned(name, old, new)
        elif old.step == "committing" and new.step == "ready":
            self._add(name, "Committed", offsets={0: old.batch}, flag=True)
            self._confirmed(name, old)
        elif old.step == "aborting" and new.step == "ready":
            self._confirmed(name, new)
        elif new.step == "aborting":
            self._add(name, "Aborted")

    def _learned(self, name: str, old: Worker, new: Worker) -> None:
        if name in self._fresh:
            self._fresh.remove(name)
            return
        self._add(name, "Learned", committed=int(old.held and new.step == "ready"), again=int(new.step == "again"))
        if new.step == "ready":
            self._confirmed(name, old)

    def _confirmed(self, name: str, worker: Worker) -> None:
        self._add(name, "Confirmed", ranges={0: [(worker.batch - 1, worker.batch)]} if worker.held else {})

    def _add(self, name: str, action: str, **fields: object) -> None:
        self.steps.append(Step(float(len(self.steps)), f"{name}-{self._process[name]}", action, **fields))  # type: ignore[arg-type]


def _state(label: str) -> State:
    committed = re.search(r"\\ncommitted=(\d+)\\n", label)
    assert committed is not None
    workers = {
        name: Worker(int(batch), held == "true", lease == "true", step, unsure == "true")
        for name, batch, held, lease, step, unsure in _WORKER.findall(label)
    }
    return State(int(committed[1]), workers)
