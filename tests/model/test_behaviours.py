"""The fault suite's acceptor agrees with the model: it accepts its behaviours and detects those without a safeguard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.acceptor import refusal
from tests.model.behaviours import Graph
from tests.model.checker import installed

WALKS = 2_000
Explore = Callable[[str], Graph]


@pytest.fixture
def explore(tmp_path: Path) -> Explore:
    tla = installed()
    if tla is None:
        pytest.skip("needs the model checker: python -m tests.model builds it")
    return lambda without: Graph.explore(tla, tmp_path / "graph.dot", without)


def refused(graph: Graph) -> Counter[str]:
    """Count behaviours of the model by the reason for their refusal; "" if they are accepted."""
    verdicts = (refusal(steps, "exactly_once", {0: [0, 1]}) for steps in graph.walks(WALKS, seed=1))
    return Counter(verdict.split(": ")[-1] for verdict in verdicts)


def test_every_behaviour_of_the_model_is_accepted(explore: Explore) -> None:
    """Random walks with one fault until every record is finished; every logged action occurs."""
    graph = explore("")
    shown = {step.action for steps in graph.walks(WALKS, seed=1) for step in steps}
    assert refused(graph) == {"": WALKS}
    assert shown == {
        *("Assigned", "Revoked", "Lost", "Begun", "OffsetsSent", "Committed", "Confirmed"),
        *("Aborted", "SentAgain", "Replaced", "Learned"),
    }


@pytest.mark.parametrize(
    ("without", "reason"),
    [
        ("NEW_EPOCH_AFTER_UNCERTAIN_END", "a request may have been sent twice, and there is no new producer"),
        ("NEW_EPOCH_AFTER_UNCERTAIN_OFFSETS", "a request may have been sent twice, and there is no new producer"),
        ("METADATA_BEFORE_LEASE", "another worker had taken over before"),
        ("GROUP_FENCING", "another worker had taken over before"),
        ("REQUIRE_STABLE", "another worker had taken over before"),
    ],
)
def test_behaviours_without_a_safeguard_are_refused(explore: Explore, without: str, reason: str) -> None:
    """Only the lack of LEARN_AFTER_SILENCE does not show in a log: the account finds those repeats."""
    assert refused(explore(without))[reason] > 0
