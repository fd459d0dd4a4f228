"""Which tests run, and beside how many others; a real model; property tests that do not fail as a machine is busy."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from xdist.workermanage import WorkerController

from scoring.scorer import Scorer
from tests.support.brokers import broker_kinds
from tests.support.other_tables import table, write_model_of
from tests.support.training_runs import report_of, trained_once
from training.pipeline import TrainingRequest, TrainingResult

settings.register_profile("heartstream", deadline=None, print_blob=True)
settings.load_profile("heartstream")

_SLOW: Final = (
    "browser",
    "contract/test_alerts.py",
    "faults",
    "images",
    "integration/api/test_audit.py",
    "integration/api/test_limits.py",
    "integration/api/test_memory.py",
    "integration/api/test_schemathesis.py",
    "integration/api/test_stalls.py",
    "integration/api/test_fhir_validator.py",
    "integration/heartstream/test_dlq_list.py",
    "integration/heartstream/test_dlq_redrive.py",
    "integration/heartstream/test_dlq_redrive_skipped.py",
    "integration/heartstream/test_embedded_kafka.py",
    "integration/heartstream/test_outcomes.py",
    "integration/heartstream/test_spark.py",
    "integration/heartstream/test_verify.py",
    "integration/test_client_laws.py",
    "integration/test_lost_responses.py",
    "integration/test_observed.py",
    "integration/test_shadow.py",
    "integration/test_swap.py",
    "integration/training",
    "integration/worker/test_commits_unanswered.py",
    "integration/worker/test_drift.py",
    "integration/worker/test_exactly_once.py",
    "integration/worker/test_foreign_assignor.py",
    "integration/worker/test_foreign_headers.py",
    "integration/worker/test_group_protocols.py",
    "integration/worker/test_late_requests.py",
    "integration/worker/test_least_rights.py",
    "integration/worker/test_new_partitions.py",
    "integration/worker/test_offsets_without_records.py",
    "integration/worker/test_poison.py",
    "integration/worker/test_recreated_topic.py",
    "integration/worker/test_schema_registry.py",
    "integration/worker/test_stuck_client.py",
    "integration/worker/test_tracing.py",
    "k8s",
    "model",
    "unit/heartstream/test_every_command.py",
    "unit/training/test_adaptation_harm.py",
    "unit/training/test_evaluate.py",
    "unit/training/test_cross_validation.py",
    "unit/training/test_gaps.py",
    "unit/training/test_metrics.py",
    "unit/training/test_uncertainty.py",
)
"""Files and folders that shake brokers, train at length, drive a browser or start many processes."""
_TESTS: Final = Path(__file__).parent
_LEFT = pytest.StashKey[int]()
"""How many slow tests were left out."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Slow tests are for those who ask for them."""
    parser.addoption("--all", action="store_true", help="run the slow tests, too")


def pytest_configure(config: pytest.Config) -> None:
    """Whoever names files or folders gets all their tests."""
    if hasattr(config, "workerinput"):
        config.option.all = config.workerinput["all"]
    elif config.args_source is pytest.Config.ArgsSource.ARGS:
        config.option.all = True
    config.stash[_LEFT] = 0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark the slow tests, and leave them out unless they were asked for; what takes long begins first."""
    slow = tuple(_TESTS / name for name in _SLOW)
    left = [item for item in items if {item.path, *item.path.parents}.intersection(slow)]
    for item in left:
        item.add_marker(pytest.mark.slow)
    if config.option.all:
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)
        return
    items[:] = [item for item in items if not item.get_closest_marker("slow")]
    config.stash[_LEFT] = len(left)
    config.hook.pytest_deselected(items=left)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the process that started this one, if any, what was left out."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left"] = session.config.stash[_LEFT]


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell the processes that run beside each other whether slow tests run."""
    node.workerinput["all"] = node.config.option.all


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Hear what was left out: all processes collect the same tests."""
    node.config.stash[_LEFT] = getattr(node, "workeroutput", {}).get("left", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Nothing is left out silently."""
    if config.stash[_LEFT]:
        terminalreporter.write_line(f"{config.stash[_LEFT]} slow tests were left for ./run test --all")


def pytest_xdist_auto_num_workers() -> int:
    """One file for each core, and four more: tests of brokers and workers mostly wait."""
    return min((os.cpu_count() or 1) + 4, 8)


def pytest_report_header() -> str:
    """Say which Kafka brokers the tests run on."""
    best, *others = broker_kinds()
    also = f"; the end-to-end test runs on {' and '.join(others)} too" if others else ""
    return f"kafka broker: {best}{also}"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one training run's report, and its model in `model`."""
    return trained_once(
        tmp_path_factory, "trained", lambda folder: TrainingRequest(folder / "model", model_version="test", quick=True)
    )


@pytest.fixture(scope="session")
def model_dir(trained: Path) -> Path:
    """The model directory of that run. Nobody writes to it."""
    return trained / "model"


@pytest.fixture(scope="session")
def flchain_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory of another table than the built-in one's, with codes that are texts. Nobody writes to it."""
    return write_model_of(table("flchain"), tmp_path_factory.mktemp("flchain") / "model")


@pytest.fixture(scope="session")
def report(trained: Path) -> TrainingResult:
    """What that run, with seed 42, found."""
    return report_of(trained)


@pytest.fixture(scope="session")
def scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir)


@pytest.fixture(scope="session")
def pattern_scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir, "pattern_submodels")


@pytest.fixture(scope="session")
def forest_scorer(model_dir: Path) -> Scorer:
    return Scorer.from_directory(model_dir, "random_forest")
