"""The model's configurations, and the parser of the checker's output."""

from __future__ import annotations

import re

import pytest

from tests.model import runs as model
from tests.model.checker import Result, check, installed, read
from tests.model.runs import CLEAN, LIVENESS, Finding, Run, lines, runs

SAFEGUARD = re.compile(r"^    ([A-Z_]{5,}),? +\\\*", re.MULTILINE)
QUICK = [run for run in runs() if run.module == "AtLeastOnce" or run.name == "GROUP_FENCING"]


@pytest.mark.parametrize("module", ["ExactlyOnce", "AtLeastOnce"])
def test_every_safeguard_is_removed_in_one_configuration(module: str) -> None:
    """Each upper-case constant is TRUE in both constant files and has a configuration without it."""
    declared = SAFEGUARD.findall((model.FOLDER / f"{module}.tla").read_text())
    given = [
        re.findall(r"^    ([A-Z_]{5,}) = TRUE$", (model.FOLDER / name).read_text(), re.MULTILINE)
        for name in (f"{module}.cfg", f"{module}.live.cfg")
    ]
    without = [run.name for run in runs() if run.module == module and run.expected]
    assert (sorted(without), given) == (sorted(declared), [declared, declared])


def test_the_readme_has_a_row_for_every_configuration() -> None:
    """In their order."""
    readme = (model.FOLDER / "README.md").read_text()
    places = [readme.find(lines([Finding(run, Result(run.expected, 0, 0, 0.0))])[1][:65].rstrip()) for run in runs()]
    assert places == sorted(places)
    assert -1 not in places


def test_the_checkers_output_is_parsed() -> None:
    """Success, a violated invariant with its actions, a violated property, and a limit."""
    stats = {"states_explored": 9, "transitions": 20, "elapsed_secs": 0.5}
    trace = [{"action": None}, {"action": "Begun"}, {"action": "EndArrived"}]
    outputs: list[dict[str, object]] = [
        {"status": "ok", "stats": {**stats, "max_depth": 4}},
        {"status": "invariant_violation", "invariant_name": "InvInOrder", "trace": trace, "stats": stats},
        {"status": "liveness_violation", "property": "EventuallyDone", "stats": stats},
        {"status": "max_states_exceeded", "stats": stats},
    ]
    assert [read(each) for each in outputs] == [
        Result("", 9, 4, 0.5),
        Result("InvInOrder", 9, 2, 0.5, ("Begun", "EndArrived")),
        Result("EventuallyDone", 9, 0, 0.5),
        Result("max_states_exceeded", 9, 0, 0.5),
    ]


def test_unexpected_results_are_detected() -> None:
    """A violation that must not be and a missing one that must be both fail the command."""
    clean, broken = Result("", 1, 1, 0.0), Result("InvInOrder", 1, 1, 0.0)
    good = [Finding(Run("M", CLEAN), clean), Finding(Run("M", "SAFE", "InvInOrder"), broken)]
    bad = [Finding(Run("M", LIVENESS), broken), Finding(Run("M", "SAFE", "InvInOrder"), clean)]
    assert [finding.is_as_expected for finding in (*good, *bad)] == [True, True, False, False]
    assert max(len(line) for text in lines(good + bad) for line in text.splitlines()) <= 80


@pytest.mark.skipif(installed() is None, reason="needs the model checker: python -m tests.model builds it")
@pytest.mark.parametrize("run", QUICK, ids=lambda run: f"{run.module}-{run.name}")
def test_the_quick_configurations_are_as_expected(run: Run) -> None:
    """By the checker, in a second each; `python -m tests.model` runs the others, which take minutes."""
    tla = installed()
    assert tla is not None
    result = check(tla, run.path, run.constants, run.config, liveness=run.liveness)
    assert result.violated == run.expected
