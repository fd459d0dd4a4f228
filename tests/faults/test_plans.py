"""The quick plans as tests: laws of delivery under crashes and rebalances, on real Kafka with real worker processes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from runtime.settings import Worker
from tests.brokers import broker_kinds
from tests.faults.broker import Broker, running_broker
from tests.faults.plans import PLANS
from tests.faults.poison import poison
from tests.faults.run import Guarantee, Models, Report, Setting, run_plan
from tests.faults.stage import Together


@pytest.fixture(scope="module")
def faulty_broker() -> Iterator[Broker]:
    if "docker" not in broker_kinds():
        pytest.skip("these faults need a Kafka broker in a container: give Docker")
    with running_broker() as broker:
        yield broker


@pytest.fixture(params=["at_least_once", "exactly_once"])
def guarantee(request: pytest.FixtureRequest) -> Guarantee:
    known = {field.name for field in msgspec.structs.fields(Worker)}
    if request.param == "exactly_once" and "processing_guarantee" not in known:
        pytest.skip("this worker has no exactly-once")
    found: Guarantee = request.param
    return found


def test_crashes_and_rebalances(guarantee: Guarantee, faulty_broker: Broker, model_dir: Path, tmp_path: Path) -> None:
    """Workers that are killed, and workers that join and leave: no law of delivery is broken."""
    poison(model_dir, tmp_path / "poisoned")
    setting = Setting(
        faulty_broker, Models(model_dir, tmp_path / "poisoned"), tmp_path, worker="heartstream", quick=True, seed=7
    )
    plans = [plan for plan in PLANS if plan.name in {"kill", "rebalance"}]
    with ThreadPoolExecutor(len(plans)) as pool:
        runs = [pool.submit(run_plan, plan, guarantee, setting, Together(1)) for plan in plans]
        reports: list[Report] = [run.result() for run in runs]
    assert [()] * len(plans) == [report.broken for report in reports]
