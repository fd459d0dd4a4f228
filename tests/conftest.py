"""Which tests run, and beside how many others; a real model; property tests that do not fail as a machine is busy."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.workermanage import WorkerController

from scoring.scorer import Scorer
from tests.brokers import broker_kinds
from training.run import TrainingRequest, train

settings.register_profile("heartstream", deadline=None, print_blob=True)
settings.load_profile("heartstream")

_LEFT = pytest.StashKey[int]()
"""How many slow tests were left out."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Slow tests are for those who ask for them."""
    parser.addoption("--all", action="store_true", help="run the slow tests, too")


def pytest_configure(config: pytest.Config) -> None:
    """Whoever names files or folders gets all their tests."""
    if not hasattr(config, "workerinput") and config.args_source is pytest.Config.ArgsSource.ARGS:
        config.option.all = True
    config.stash[_LEFT] = 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the slow tests out, unless they were asked for."""
    if config.option.all:
        return
    left = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if item not in set(left)]
    config.stash[_LEFT] = len(left)
    config.hook.pytest_deselected(items=left)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that started this one, if any, what was left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left"] = session.config.stash[_LEFT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Hear what was left out: all processes collect the same tests."""
    node.config.stash[_LEFT] = getattr(node, "workeroutput", {}).get("left", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Nothing is left out silently."""
    if config.stash[_LEFT]:
        terminalreporter.write_line(f"{config.stash[_LEFT]} slow tests were left for ./run test --all")


def pytest_xdist_auto_num_workers() -> int:
    """Two files for each core: tests of brokers and workers wait much."""
    return min(2 * (os.cpu_count() or 1), 8)


def pytest_report_header() -> str:
    """Say which Kafka brokers the tests run on."""
    best, *others = broker_kinds()
    also = f"; the end-to-end test runs on {' and '.join(others)} too" if others else ""
    return f"kafka broker: {best}{also}"


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that is trained once, also for test processes that run beside each other. Nobody writes to it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "trained" / "model"
    folder.parent.mkdir(exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            train(TrainingRequest(folder, model_version="test", quick=True))
    return folder


@pytest.fixture(scope="session")
def scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir)


@pytest.fixture(scope="session")
def pattern_scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir, "pattern_submodels")


@pytest.fixture(scope="session")
def forest_scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir, "random_forest")
