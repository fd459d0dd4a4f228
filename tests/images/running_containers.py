"""Laws of running containers, which run without capabilities and write only to /tmp."""

from __future__ import annotations

import http.client
import json
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from heartstream.demo.patients import real_patients
from runtime.settings import Topics
from scoring.scorer import Scorer
from tests.images.broker import INSIDE, check_outcomes, send
from tests.images.build import Image, baked
from tests.images.container import HARDENED, Container, running
from tests.images.laws import SERVING, Law, Setting
from tests.support.docker_cli import docker, inspect
from tests.support.outcomes import Scored, process
from tests.support.stream import Stream

SLOWEST_START_SECONDS: Final = 2.0
_STARTS: Final = 3
_MORE_STARTS: Final = 7
_STARTED: Final = {"worker": "/health/startup", "gateway": "/health/ready"}
_PATIENTS: Final = [json.dumps(record).encode() for record in real_patients()]
_DRAIN_SECONDS: Final = 20.0
_TRAIN_SECONDS: Final = 300


class Running(msgspec.Struct, frozen=True):
    """A running container, and the topics of a worker."""

    container: Container
    stream: Stream | None = None


def start(image: Image, setting: Setting) -> str:
    """It is ready within 2 s of `docker run`, a worker with a real broker: the fastest of three starts.

    On a busy machine it is tried again, up to ten times in all.
    """
    fastest = min(_start_seconds(image, setting) for _ in range(_STARTS))
    for _ in range(_MORE_STARTS):
        if fastest < SLOWEST_START_SECONDS:
            break
        fastest = min(fastest, _start_seconds(image, setting))
    assert fastest < SLOWEST_START_SECONDS, f"{fastest:.2f} s"
    return f"{fastest:.2f} s"


def health(image: Image, setting: Setting) -> str:
    """Docker's health check reports it as healthy; on SIGTERM it exits with 0 within the drain time."""
    with _running(image, setting, setting.model) as started:
        started.container.await_healthy()
        code, seconds = started.container.stop()
        assert code == 0, started.container.log()[-2000:]
        assert seconds < _DRAIN_SECONDS
    return f"stops in {seconds:.1f} s"


def work(image: Image, setting: Setting) -> str:
    """With a mounted model, every record gets the correct outcome."""
    with _running(image, setting, setting.model) as started:
        return _WORK[image.target](started, setting)


def baked_in(image: Image, setting: Setting) -> str:
    """With a model baked in by the build argument, and nothing mounted, every record gets the correct outcome."""
    with baked(image, setting.model, setting.build_options) as copy, _running(copy, setting, None) as started:
        return _WORK[image.target](started, setting)


def training(image: Image, _: Setting) -> str:
    """It trains a model that can be loaded and scores."""
    with tempfile.TemporaryDirectory(prefix="heartstream-trained-") as folder:
        # The user of the check can then remove the output; the image works with any user id.
        own = (f"--user={os.getuid()}:{os.getgid()}", f"--volume={folder}:/model")
        command = ("train", "--quick", "--output", "/model/model", "--mlflow-dir", "/model/mlflow")
        docker("run", "--rm", *HARDENED, *own, image.name, *command, seconds=_TRAIN_SECONDS)
        scorer = Scorer.from_directory(Path(folder) / "model")
        outcomes = process(_PATIENTS, [None] * len(_PATIENTS), scorer)
    assert all(isinstance(each, Scored) for each in outcomes)
    return f"{len(outcomes)} scored"


def _start_seconds(image: Image, setting: Setting) -> float:
    with _running(image, setting, setting.model) as started:
        return started.container.await_answer(_STARTED[image.target])


def _ask_gateway(started: Running, setting: Setting) -> str:
    """Check the gateway's contract: port 8000, POST /predict, GET /health, GET /metrics."""
    container = started.container
    container.await_answer("/health")
    assert "8000/tcp" in inspect("container", container.identifier)["Config"]["ExposedPorts"]
    for value in _PATIENTS[:100]:
        (expected,) = process([value], [None], setting.scorer)
        assert isinstance(expected, Scored)
        assert _ask(container, "POST", "/predict", value) == (200, expected.value)
    status, metrics = _ask(container, "GET", "/metrics")
    assert (status, b"heartstream_records_total" in metrics) == (200, True)
    assert _ask(container, "POST", "/predict", b"not JSON")[0] == 422
    return "100 answers"


def _feed_worker(started: Running, setting: Setting) -> str:
    """Send records from the host, one of them invalid, and read their outcomes."""
    assert started.stream is not None
    send(started.stream, [*_PATIENTS, b"not JSON"])
    return check_outcomes(started.stream, setting.scorer)


_WORK: Final = {"worker": _feed_worker, "gateway": _ask_gateway}


@contextmanager
def _running(image: Image, setting: Setting, model: Path | None) -> Iterator[Running]:
    """Run it with this model; a worker gets topics of its own."""
    network = setting.broker.network
    if image.target == "gateway":
        with running(image.target, image.name, model, network, {}) as container:
            yield Running(container)
        return
    name = f"patients-{uuid.uuid4().hex[:8]}"
    topics = Topics(name, f"{name}-scores", f"{name}-dlq")
    environment = {
        "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": INSIDE,
        "HEARTSTREAM_TOPICS__PATIENTS": topics.patients,
        "HEARTSTREAM_TOPICS__SCORES": topics.scores,
        "HEARTSTREAM_TOPICS__DEAD_LETTERS": topics.dead_letters,
        "HEARTSTREAM_WORKER__GROUP_ID": name,
    }
    with (
        Stream.open(setting.broker.outside, topics) as stream,
        running(image.target, image.name, model, network, environment) as container,
    ):
        yield Running(container, stream)


def _ask(container: Container, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(container.url.removeprefix("http://"), timeout=30)
    try:
        connection.request(method, path, body=body)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


LAWS: Final = (
    Law("comes up within", SERVING, start),
    Law("is healthy", SERVING, health),
    Law("a mounted model", SERVING, work),
    Law("a baked-in model", SERVING, baked_in),
    Law("trains", ("train",), training),
)
