"""Traces with one mistake each: the share that the acceptor refuses shows how much it detects."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from tests.faults.acceptor import Guarantee, refusal
from tests.faults.trace import Step

_TRIES: Final = 100


class Mutant(msgspec.Struct, frozen=True):
    """A trace with one mistake: its kind, and the step that was changed."""

    kind: str
    step: Step
    steps: Sequence[Step]

    def is_refused(
        self, guarantee: Guarantee, records: Mapping[int, Sequence[int]], *, is_replaced: bool = False
    ) -> bool:
        """Whether the acceptor refuses it."""
        return bool(refusal(self.steps, guarantee, records, is_replaced=is_replaced))


def drop(steps: Sequence[Step], place: int) -> list[Step] | None:
    """Omit a step."""
    return [*steps[:place], *steps[place + 1 :]]


def duplicate(steps: Sequence[Step], place: int) -> list[Step] | None:
    """Repeat a step."""
    return [*steps[: place + 1], *steps[place:]]


def swap(steps: Sequence[Step], place: int) -> list[Step] | None:
    """Exchange a step with the next one of the same worker."""
    worker = steps[place].worker
    later = next((at for at in range(place + 1, len(steps)) if steps[at].worker == worker), None)
    if later is None:
        return None
    return [*steps[:place], *steps[place + 1 : later + 1], steps[place], *steps[later + 1 :]]


def forge(steps: Sequence[Step], place: int) -> list[Step] | None:
    """Increase a step's offsets, or the starts of its ranges, by one."""
    step = steps[place]
    offsets = {number: None if offset is None else offset + 1 for number, offset in step.offsets.items()}
    ranges = {number: [(start + 1, end) for start, end in runs] for number, runs in step.ranges.items()}
    forged = msgspec.structs.replace(step, offsets=offsets, ranges=ranges)
    return None if forged == step else [*steps[:place], forged, *steps[place + 1 :]]


KINDS: Final[Mapping[str, Callable[[Sequence[Step], int], list[Step] | None]]] = {
    "drop": drop,
    "duplicate": duplicate,
    "swap": swap,
    "forge": forge,
}


def every_mutant(steps: Sequence[Step]) -> Iterator[Mutant]:
    """Yield each kind of mistake at each step."""
    for kind, change in KINDS.items():
        for place, step in enumerate(steps):
            if (changed := change(steps, place)) is not None:
                yield Mutant(kind, step, changed)


def some_mutants(steps: Sequence[Step], count: int, seed: int) -> Iterator[Mutant]:
    """Yield `count` mistakes of each kind, at places that the seed determines."""
    rng = random.Random(seed)  # noqa: S311  # for variety, not for secrets
    for kind, change in KINDS.items():
        made = 0
        for place in (rng.randrange(len(steps)) for _ in range(_TRIES * count if steps else 0)):
            if made == count:
                break
            if (changed := change(steps, place)) is not None:
                made += 1
                yield Mutant(kind, steps[place], changed)
