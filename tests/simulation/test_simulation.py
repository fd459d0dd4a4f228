"""A short simulation: the worker violates no law, and reintroduced bugs are found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.simulation.hunting import run
from tests.simulation.network import GROUP
from tests.simulation.processes import results
from tests.simulation.schedule import Schedule, Step

QUICK = (
    "offsets committed on arrival",
    "no commit on revocation",
    "end committed past batches in flight",
    "no leave without partitions",
    "refused commit not given back",
    "late EndTxn in the next transaction",
)


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_worker_violates_nothing_and_old_bugs_are_found(tmp_path: Path) -> None:
    """100 seeds find no violation, and the bugs that need few seeds are found."""
    chosen = [argument for name in QUICK for argument in ("--bug", name)]
    done = simulate("--seeds", "100", "--json", str(tmp_path / "report.json"), *chosen)
    assert done.returncode == 0, done.stdout + done.stderr
    report = msgspec.json.decode((tmp_path / "report.json").read_bytes())
    assert (report["seeds"], report["violations"]) == (100, 0)
    assert {bug["name"] for bug in report["bugs"]} == set(QUICK)
    assert all(bug["found_after"] for bug in report["bugs"])


def test_a_seed_is_reproducible() -> None:
    """Two runs of one seed have the same events."""
    first, second = simulate("--seed", "3"), simulate("--seed", "3")
    assert first.returncode == 0, first.stderr
    assert "OffsetsCommitted" in first.stdout
    assert first.stdout == second.stdout


def test_a_failing_seed_prints_a_smaller_schedule(tmp_path: Path) -> None:
    """Steps that are not needed for the violation are removed."""
    bug = "offsets committed on arrival"
    simulate("--seeds", "1", "--bug", bug, "--json", str(tmp_path / "report.json"))
    (found,) = msgspec.json.decode((tmp_path / "report.json").read_bytes())["bugs"]
    done = simulate("--seed", str(found["found_after"] - 1), "--bug", bug)
    assert done.returncode == 1, done.stderr
    before, _, after = done.stdout.partition("The smallest schedule found that breaks a law:")
    assert "lost: partition" in after
    assert len(after.splitlines()) < len([line for line in before.splitlines() if " s  " in line])


def test_a_client_without_responses_to_its_commits_is_replaced() -> None:
    """A member that was removed while waiting to join believes that it owns partitions, and all its calls time out."""
    steps = (
        Step(7.411, "slow", role=GROUP, seconds=0.63),
        Step(7.781, "strand", seconds=16.7),
        Step(8.157, "deaf"),
        Step(9.7, "produce", count=3),
    )
    broken = [run(Schedule(seed, False, False, 0.0, 1, 1, steps)).broken for seed in range(40)]
    assert broken == [None] * 40


def test_a_stuck_client_without_records_is_replaced_under_exactly_once() -> None:
    """Its group gave its partition to a worker that was then killed; no transaction shows that the client is stuck."""
    steps = (
        Step(0.229, "produce", target=1, count=18),
        Step(0.539, "produce", seconds=8.0, count=17),
        Step(1.533, "deaf", target=4),
        Step(7.506, "kill"),
    )
    broken = [run(Schedule(seed, True, False, 0.0, 2, 2, steps)).broken for seed in range(40)]
    assert broken == [None] * 40


def test_every_task_runs_in_its_own_process() -> None:
    """Each task has a new process, so no task affects another."""
    found = dict(results(lambda task: (task, os.getpid()), range(7)))
    assert sorted(found) == list(range(7))
    assert len({os.getpid(), *found.values()}) == 8


def test_a_process_that_dies_ends_the_run() -> None:
    """A process that exits without a result raises an error with its exit code."""
    with pytest.raises(RuntimeError, match="exit code 3"):
        list(results(os._exit, [3]))


def test_an_unknown_bug_is_refused() -> None:
    """The error for an unknown bug lists the known ones."""
    done = simulate("--bug", "no such")
    assert done.returncode == 2
    assert "no such bug; there are: " in done.stderr
