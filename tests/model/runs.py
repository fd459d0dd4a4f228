"""The configurations of the model: with every safeguard, and without each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tests.model.checker import Result

FOLDER: Final = Path(__file__).parents[2] / "docs" / "design" / "model"
CLEAN: Final = "safety"
LIVENESS: Final = "liveness"

_WITHOUT: Final = {
    "ExactlyOnce": {
        "NEW_EPOCH_AFTER_UNCERTAIN_END": "InvNothingTorn",
        "NEW_EPOCH_AFTER_UNCERTAIN_OFFSETS": "InvNothingTorn",
        "METADATA_BEFORE_LEASE": "InvNoZombie",
        "LEARN_AFTER_SILENCE": "InvNothingTwice",
        "REQUIRE_STABLE": "InvNothingTwice",
        "GROUP_FENCING": "InvNoZombie",
    },
    "AtLeastOnce": {"CONFIRMED_BEFORE_DONE": "InvNothingLost", "LONGEST_PREFIX": "InvNothingLost"},
}
"""Each safeguard, and the invariant that fails first without it. A fixed order of exploration makes it the same one."""


class Run(msgspec.Struct, frozen=True):
    """One configuration of a module; `expected` is what must be violated, "" if nothing may be."""

    module: str
    name: str
    expected: str = ""

    @property
    def path(self) -> Path:
        """The module's file."""
        return FOLDER / f"{self.module}.tla"

    @property
    def config(self) -> Path:
        """The file of constants and of what is checked."""
        return FOLDER / f"{self.module}{'.live' if self.liveness else ''}.cfg"

    @property
    def liveness(self) -> bool:
        """Whether the property is checked that every record is done in the end."""
        return self.name == LIVENESS

    @property
    def constants(self) -> dict[str, str]:
        """What differs from the file of constants."""
        return {self.name: "FALSE"} if self.expected else {}


class Finding(msgspec.Struct, frozen=True):
    """A configuration and what came of it."""

    run: Run
    result: Result

    @property
    def is_as_expected(self) -> bool:
        """Whether the model holds, or fails, as it must."""
        return self.result.violated == self.run.expected


def runs() -> Iterator[Run]:
    """Yield the configurations of each module: the quick ones first."""
    for module, safeguards in _WITHOUT.items():
        for name, violated in safeguards.items():
            yield Run(module, name, violated)
        yield Run(module, LIVENESS)
        yield Run(module, CLEAN)


def lines(findings: list[Finding]) -> list[str]:
    """Return a table of at most 80 columns."""
    head = f"{'model':13}{'without':35}{'violated':17}{'states':>7}{'depth':>6}"
    return [head, *(_row(finding) for finding in findings)]


def _row(finding: Finding) -> str:
    run, result = finding.run, finding.result
    without = run.name if run.expected else {CLEAN: "-", LIVENESS: "- (liveness)"}[run.name]
    row = f"{run.module:13}{without:35}{result.violated or '-':17}{result.states:>7,}{result.depth:>6}"
    return row if finding.is_as_expected else f"{row}\n{'':13}UNEXPECTED: should be {run.expected or 'no violation'}"
