"""MLServer's Kafka interface with its scikit-learn runtime: what it takes to measure it.

It does less than the others: no decoding of patient records, no validation, no remarks, no consumer group, so no
commits. It takes requests of the Open Inference Protocol with a row of 13 numbers (missing ones already blank) and
answers with the probabilities of scikit-learn's own pipeline. It reads from the topic's end only, so requests are
written once it listens, and the time runs from the first request: it takes them all up at once, computes every one, and
only then sends answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import joblib
import msgspec
import numpy as np
from confluent_kafka import Message, Producer
from sklearn.pipeline import make_pipeline

from bench.contenders import Contender
from bench.contest import Names, Run, check, environment, running
from bench.cost import peak_mib
from bench.load import records, remove_topics
from bench.meter import START_SECONDS, Meter, Reading, Sample
from bench.output import Output, Place, read_output
from bench.stage import Stage
from bench.uci import as_matrix, blank_missing, decode
from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from scoring.features import Matrix
from scoring.model_artifact import Artifact, load
from scoring.scorer import Scorer

_HEADERS: Final = [("mlserver-model", b"heart")]
_PROBE: Final = b"probe"
_PROBE_SECONDS: Final = 0.5
_STALL_SECONDS: Final = 180.0
"""It takes up all requests at once and computes every one before the first answer is sent."""
_TOLERANCE: Final = 2e-6
"""Our risks have six decimals; a forest in ONNX differs by some 1e-7."""


class _Response(msgspec.Struct):
    """What is read of an answer."""

    class Tensor(msgspec.Struct):
        """One output."""

        data: list[float]

    outputs: list[Tensor]


def run(contender: Contender, stage: Stage, results: int) -> Run:
    """Measure MLServer on `results` requests. Raises RuntimeError or TimeoutError if it fails."""
    names = Names.fresh(stage, contender)
    requests = f"{names.group}-requests"
    create_topics(stage.address, [requests], stage.partitions, {})
    try:
        artifact = load(stage.model_folder, stage.model)
        matrix = _matrix(results)
        folder = stage.folder / names.group
        _write_configuration(folder, artifact, stage.address, requests, names.scores)
        samples, peak = _watched(contender, stage, names, folder, _Sender(stage, requests, matrix))
        output, different = _checked(stage, names, Scorer(artifact).risks(matrix))
        reading = Reading.of(samples, output, results, peak, from_start=True)
        return Run(reading, output.lost(whole=True), output.duplicated, different)
    finally:
        names.remove(stage)
        remove_topics(stage.address, [requests])


def _matrix(count: int) -> Matrix:
    """Return the input's first rows as numbers, NaN where missing."""
    patients = [patient for _, value in islice(records(count), count) if (patient := decode(value)) is not None]
    matrix = as_matrix(patients)
    blank_missing(matrix)
    return matrix


def _write_configuration(folder: Path, artifact: Artifact, address: str, requests: str, scores: str) -> None:
    """Write what MLServer reads from its working directory, and the model as it wants it."""
    folder.mkdir()
    fitted = artifact.fitted()
    joblib.dump(make_pipeline(fitted.preprocessor, fitted.classifier), folder / "model.joblib")
    model = {
        "name": "heart",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": "./model.joblib", "extra": {"predict_fn": "predict_proba"}},
    }
    settings = {
        "kafka_enabled": True,
        "kafka_servers": address,
        "kafka_topic_input": requests,
        "kafka_topic_output": scores,
        "debug": False,
        "parallel_workers": 0,
        "logging_settings": {"version": 1, "root": {"level": "ERROR"}, "loggers": {"mlserver": {"level": "ERROR"}}},
        "http_port": free_port(),
        "grpc_port": free_port(),
        "metrics_port": free_port(),
    }
    (folder / "model-settings.json").write_bytes(msgspec.json.encode(model))
    (folder / "settings.json").write_bytes(msgspec.json.encode(settings))


class _Sender:
    """Writes requests, spread over the partitions; their keys tell which row they hold."""

    def __init__(self, stage: Stage, topic: str, matrix: Matrix) -> None:
        self._producer = Producer({"bootstrap.servers": stage.address, "log_level": 2, "linger.ms": 20})
        self._topic = topic
        self._partitions = stage.partitions
        self._rows = [[None if value != value else value for value in row] for row in matrix.tolist()]  # noqa: PLR0124  # NaN

    def probe(self) -> None:
        """Ask one question on each partition."""
        for number in range(self._partitions):
            self._send(_PROBE, self._rows[0], number)
        self._producer.flush()

    def send_all(self) -> int:
        """Ask all questions; returns how many."""
        for number, row in enumerate(self._rows):
            self._send(str(number).encode(), row, number % self._partitions)
        self._producer.flush()
        return len(self._rows)

    def _send(self, key: bytes, row: Sequence[float | None], partition: int) -> None:
        tensor = {"name": "input", "shape": [1, len(row)], "datatype": "FP64", "data": row}
        value = msgspec.json.encode({"id": key.decode(), "inputs": [tensor]})
        self._producer.produce(self._topic, value, key, partition=partition, headers=list(_HEADERS))


def _watched(
    contender: Contender, stage: Stage, names: Names, folder: Path, sender: _Sender
) -> tuple[list[Sample], float]:
    """Start it, ask until it answers each partition, then ask all and watch."""
    meter = Meter(stage.address, names.scores, stage.partitions)
    variables = environment(contender, stage, names)
    with running(contender, variables, stage.folder / f"{names.group}.log", folder) as process:
        asked = _await_answers(sender, meter, stage.partitions, lambda: check(process))
        start = meter.sample(process.pid)
        results = sender.send_all()
        samples = meter.watch(process.pid, asked + results, lambda: check(process), stall_seconds=_STALL_SECONDS)
        return [start, *samples], peak_mib(process.pid)


def _await_answers(sender: _Sender, meter: Meter, partitions: int, check_process: Callable[[], None]) -> int:
    """Ask on every partition until one round is answered in full; returns how many answers there are by then."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        check_process()
        answered = sum(meter.ends())
        sender.probe()
        time.sleep(_PROBE_SECONDS)
        if sum(meter.ends()) == answered + partitions:
            return answered + partitions
    raise TimeoutError(f"it answers nothing in {START_SECONDS:.0f} s")


def _checked(stage: Stage, names: Names, risks: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[Output, int]:
    """Read the answers, and count those that are not our risks."""
    answers = np.full(len(risks), np.nan)

    def place_of(message: Message) -> Place | None:
        key = message.key() or b""
        if key == _PROBE:
            return None
        number = int(key)
        answers[number] = msgspec.json.decode(message.value() or b"", type=_Response).outputs[0].data[1]
        return number % stage.partitions, number // stage.partitions

    shares = [len(range(number, len(risks), stage.partitions)) for number in range(stage.partitions)]
    output = read_output(stage.address, names.scores, shares, place_of)
    return output, int((np.abs(answers - risks) > _TOLERANCE).sum())
