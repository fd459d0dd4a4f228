"""The quick fault plans as tests: delivery guarantees under crashes and rebalances, with real Kafka and workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.__main__ import GUARANTEES, run_plans
from tests.faults.plans import PLANS
from tests.faults.poison import poison
from tests.faults.run import Models, Setting
from tests.faults.swapping import Alternatives
from tests.support.proxied_broker import Broker, running_broker


@pytest.fixture(scope="module")
def faulty_broker() -> Iterator[Broker]:
    with running_broker() as broker:
        yield broker


def test_crashes_rebalances_and_swaps_violate_nothing(faulty_broker: Broker, model_dir: Path, tmp_path: Path) -> None:
    """Workers are killed, join, leave and swap models: nothing is lost, invented or repeated too often.

    The plans run concurrently, as they mostly wait.
    """
    poison(model_dir, tmp_path / "poisoned")
    models = Models(model_dir, tmp_path / "poisoned", Alternatives.of(model_dir, tmp_path))
    setting = Setting(faulty_broker, models, tmp_path, worker="heartstream", quick=True, seed=7)
    plans = [plan for plan in PLANS if plan.name in {"kill", "rebalance", "swap"}]
    reports = run_plans(plans, GUARANTEES["both"], setting)
    assert len(reports) == 6
    assert [report for report in reports if report.broken] == []
