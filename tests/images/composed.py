"""`compose/compose.yaml`, started and used from outside, by `docker compose` or the older `docker-compose`."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import yaml

from heartstream.brokers import await_broker
from heartstream.demo.patients import real_patients
from heartstream.demo.processes import predict
from runtime.settings import Topics
from schemas.errors import DependencyError
from scoring.scorer import Scorer
from tests.images.broker import check_outcomes, send
from tests.images.build import Image
from tests.support.docker_cli import ROOT, attempt, docker, run, wait_for
from tests.support.outcomes import Scored, process
from tests.support.stream import Stream

SERVICES: Final = ("kafka", "topics", "volume", "train", "worker", "gateway")
"""The services whose images are built here; the others come from a registry."""
_KAFKA: Final = "localhost:29092"
_GATEWAY: Final = "http://localhost:8000"
_WORKERS: Final = 2
_PARTITIONS: Final = 8
_START_SECONDS: Final = 600
_FILE: Final = ROOT / "compose" / "compose.yaml"
_PATIENTS: Final = [json.dumps(record).encode() for record in real_patients()]


class Project(msgspec.Struct, frozen=True):
    """A running compose project, the records sent through it, and the model that it trained."""

    name: str
    stream: Stream
    scorer: Scorer


def records_flow(project: Project) -> str:
    """Each record that is produced from outside has its score, and the invalid one its dead letter."""
    send(project.stream, [*_PATIENTS, b"not JSON"])
    return check_outcomes(project.stream, project.scorer)


def both_work(project: Project) -> str:
    """Both workers are members of the group once records have been scored."""
    project.stream.await_members("heartstream", _WORKERS)
    return f"{_WORKERS} members"


def answers(project: Project) -> str:
    """The gateway at port 8000 returns the scores of the trained model."""
    wait_for("the gateway's /health", _gateway_answers, 60)
    for value in _PATIENTS[:20]:
        (expected,) = process([value], [None], project.scorer)
        assert isinstance(expected, Scored)
        assert predict(_GATEWAY, value) == json.loads(expected.value)
    return "20 answers"


LAWS: Final[dict[str, Callable[[Project], str]]] = {
    "records flow": records_flow,
    "two workers": both_work,
    "/predict answers": answers,
}


@contextmanager
def started(images: Sequence[Image]) -> Iterator[Project]:
    """Start the services from these images, and remove everything afterwards."""
    name = f"heartstream-images-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="heartstream-compose-") as folder:
        override = Path(folder) / "override.yaml"
        override.write_text(yaml.safe_dump(_override(images)), encoding="utf-8")
        compose = (*compose_command(), "--project-name", name, "--file", str(_FILE), "--file", str(override))
        try:
            run(*compose, "up", "--detach", "--no-build", *SERVICES, seconds=_START_SECONDS)
            scorer = _model_of(name, Path(folder))
            await_broker(_KAFKA)
            with Stream.open(_KAFKA, Topics(), _PARTITIONS) as stream:
                yield Project(name, stream, scorer)
        finally:
            run(*compose, "down", "--volumes", "--timeout", "30", seconds=180)


def nothing_left(project: Project) -> str:
    """After `down --volumes` no container and no volume remains."""
    of_project = f"--filter=label=com.docker.compose.project={project.name}"
    left = docker("ps", "--all", "--quiet", of_project) + docker("volume", "ls", "--quiet", of_project)
    assert left == ""
    return "nothing"


def compose_command() -> Sequence[str]:
    """Return the compose command of this machine; raises DependencyError if it is not installed."""
    if attempt("docker", "compose", "version").returncode == 0:
        return ("docker", "compose")
    if shutil.which("docker-compose"):
        return ("docker-compose",)
    raise DependencyError("neither `docker compose` nor docker-compose is installed")


def _override(images: Sequence[Image]) -> dict[str, object]:
    """Use the built images, and train quickly: the risks are the same."""
    names = {image.target: image.name for image in images}
    services: dict[str, dict[str, object]] = {
        "topics": {"image": names["worker"]},
        "volume": {"image": names["train"]},
        "train": {
            "image": names["train"],
            "command": ["train", "--quick", "--output", "/model/model", "--mlflow-dir", "/model/mlflow"],
        },
        "worker": {"image": names["worker"]},
        "gateway": {"image": names["gateway"]},
    }
    return {"version": "3.8", "services": services}


def _model_of(name: str, folder: Path) -> Scorer:
    """Load the model that the project trained."""
    of_gateway = (
        "--filter=label=com.docker.compose.service=gateway",
        f"--filter=label=com.docker.compose.project={name}",
    )
    (gateway,) = docker("ps", "--quiet", *of_gateway).split()
    docker("cp", f"{gateway}:/model/model", str(folder / "model"))
    return Scorer.from_directory(folder / "model")


def _gateway_answers() -> bool:
    try:
        with urllib.request.urlopen(f"{_GATEWAY}/health", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False
