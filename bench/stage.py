"""What all runs of a benchmark share: a broker, a trained model, a topic full of records, a folder for scratch."""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Final, Literal

import msgspec

from bench.load import PARTITIONS, SEED, Fields, fill, plain, remove_topics, tell
from bench.meter import Meter
from heartstream.brokers import Kind, docker_is_usable, running_broker
from training.data.frames import features
from training.pipeline import OwnPatients, Progress, TrainingRequest, load_patients, train

AskedBroker = Kind | Literal["auto"]
SERVERS: Final = "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS"


class Stage(msgspec.Struct, frozen=True):
    """Where contenders perform. `ends` are the input's ends by partition."""

    address: str
    model_folder: Path
    model: str
    topic: str
    ends: tuple[int, ...]
    folder: Path

    @property
    def partitions(self) -> int:
        """How many partitions the input has, and each output."""
        return len(self.ends)

    def filled(self, topic: str, records: int, partitions: int) -> Stage:
        """Return a stage with another input topic, made and filled here."""
        fill(self.address, topic, records, partitions)
        return msgspec.structs.replace(self, topic=topic, ends=Meter(self.address, topic, partitions).ends())


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what every benchmark of the stream can be told: `--broker` and `--model`."""
    parser.add_argument(
        "--broker",
        choices=["auto", "given", "docker", "embedded"],
        default="auto",
        help=f"given: the one that {SERVERS} names; auto: that, or Apache Kafka in a container, or the embedded one",
    )
    parser.add_argument(
        "--model", choices=["logistic_regression", "pattern_submodels", "random_forest"], default="logistic_regression"
    )


@contextmanager
def new_stage(
    asked: AskedBroker, model: str, records: int, partitions: int = PARTITIONS, own: OwnPatients | None = None
) -> Iterator[Stage]:
    """Start the broker while a model is trained, and fill the input topic; leaves nothing behind.

    Model and records are of UCI's patients, or of `own`.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heartstream-bench-")))
        request = TrainingRequest(output=folder / "model", model_version="bench", quick=True, patients=own)
        patients = None if own is None else _own_patients(request)
        training = stack.enter_context(ThreadPoolExecutor(1)).submit(train, request, until(stopping := Event()))
        # Called before the executor waits for its thread: Ctrl-C does not have to wait for a whole training.
        stack.callback(stopping.set)
        kind = _broker_kind(asked)
        address = stack.enter_context(running_broker(kind, os.environ.get(SERVERS)))
        topic = f"bench-{uuid.uuid4().hex[:6]}"
        size = fill(address, topic, records, partitions, patients)
        stack.callback(remove_topics, address, [topic])
        training.result()
        tell(f"broker: {kind}; {records:,} records of {size} bytes on {partitions} partitions; {model}")
        ends = Meter(address, topic, partitions).ends()
        yield Stage(address, request.output, model, topic, ends, folder)


def _own_patients(request: TrainingRequest) -> list[Fields]:
    """Return the patients of a training run as records, shuffled the same way each time."""
    found = load_patients(request)
    patients = [plain(found.compiled.table.fields_of(row)) for row in features(found.training_rows).tolist()]
    random.Random(SEED).shuffle(patients)  # noqa: S311  # for variety, not for secrets
    return patients


def until(stopping: Event) -> Progress:
    """Return what ends a training between two of its steps, once it is to stop."""

    def step(_step: str, _done: int, _steps: int) -> None:
        if stopping.is_set():
            raise InterruptedError

    return step


def _broker_kind(asked: AskedBroker) -> Kind:
    if asked == "docker":
        docker_is_usable()  # does without testcontainers' helper image where that cannot be had
    if asked != "auto":
        return asked
    if SERVERS in os.environ:
        return "given"
    return "docker" if docker_is_usable() else "embedded"
