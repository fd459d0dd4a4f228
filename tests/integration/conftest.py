"""Real brokers and real processes. `broker` is of the first kind available; `every_broker` is each kind in turn."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from heartstream.brokers import Kind
from heartstream.demo.processes import Child, running
from runtime.ports import free_port
from runtime.settings import Topics
from tests.integration.kafkas import Kafka, RealKafka, SimulatedKafka
from tests.support.brokers import broker_kinds, own_kind, running_kind
from tests.support.stream import Stream
from tests.support.workers import Starter, Workers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run tests that use `every_broker` once per kind of broker."""
    if "every_broker" in metafunc.fixturenames:
        metafunc.parametrize("every_broker", broker_kinds(), indirect=True, scope="session")


@pytest.fixture(scope="session")
def brokers() -> Iterator[dict[Kind, str]]:
    """Addresses of the started brokers, by kind; all stop at the end of the session."""
    from contextlib import ExitStack  # noqa: PLC0415  # used here alone

    with ExitStack() as stack:

        class Started(dict[Kind, str]):
            def __missing__(self, kind: Kind) -> str:
                self[kind] = stack.enter_context(running_kind(kind))
                return self[kind]

        yield Started()


@pytest.fixture(scope="session")
def broker(brokers: dict[Kind, str]) -> str:
    return brokers[broker_kinds()[0]]


@pytest.fixture(scope="session")
def every_broker(request: pytest.FixtureRequest, brokers: dict[Kind, str]) -> str:
    return brokers[request.param]


@pytest.fixture
def topics() -> Topics:
    """Topics of one test only."""
    name = f"patients-{uuid.uuid4().hex[:8]}"
    others = {each: f"{name}-{each}" for each in ("scores", "outcomes", "shadow")}
    return Topics(patients=name, dead_letters=f"{name}-dlq", **others)


@pytest.fixture
def stream(broker: str, topics: Topics) -> Iterator[Stream]:
    with Stream.open(broker, topics) as stream:
        yield stream


@pytest.fixture
def own_broker(brokers: dict[Kind, str]) -> str:
    """A broker that the tests have started, and can freeze."""
    return brokers[own_kind()]


@pytest.fixture
def own_stream(own_broker: str, topics: Topics) -> Iterator[Stream]:
    with Stream.open(own_broker, topics) as stream:
        yield stream


@pytest.fixture
def group_stream(stream: Stream) -> Stream:
    """The stream of a test whose workers crash, join and leave the group."""
    return stream


@pytest.fixture(params=["simulated", "real"])
def kafka(request: pytest.FixtureRequest) -> Iterator[Kafka]:
    """The simulated and the real Kafka, whose clients must obey the same laws."""
    if request.param == "simulated":
        yield SimulatedKafka()
        return
    with closing(RealKafka(request.getfixturevalue("broker"))) as kafka:
        yield kafka


@pytest.fixture
def workers(model_dir: Path, topics: Topics, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(model_dir, topics, tmp_path)
    yield workers
    sys.stdout.write(workers.logs())


@pytest.fixture(scope="session")
def start(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Starter:
    """Start a gateway with some settings; it must exit with code 0."""

    @contextmanager
    def started(**settings: str) -> Iterator[Child]:
        port = free_port()
        named = {f"HEARTSTREAM_{name}": value for name, value in settings.items()}
        fixed = {
            "HEARTSTREAM_MODEL__PATH": str(model_dir),
            "HEARTSTREAM_GATEWAY__PORT": str(port),
            "HEARTSTREAM_GATEWAY__SHUTDOWN_DELAY_SECONDS": "0",
        }
        log = tmp_path_factory.mktemp("gateway") / "gateway.log"
        with running("gateway", {**fixed, **named}, f"http://127.0.0.1:{port}", log) as child:
            child.await_ready()
            yield child
        assert child.process.returncode == 0

    return started
