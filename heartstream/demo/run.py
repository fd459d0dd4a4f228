"""Runs the demo: broker, worker, gateway, stream, reconciliation."""

from __future__ import annotations

import itertools
import signal
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from heartstream.brokers import Kind, running_broker
from heartstream.demo.patients import DemoRecord, Outcome, demo_records, known_outcomes
from heartstream.demo.processes import Child, predict, running
from heartstream.demo.reconciliation import Reconciliation, Summary
from heartstream.demo.view import View
from runtime.kafka.messages import headers_of
from runtime.kafka.topics import create_topics
from runtime.ports import free_port, preferred_port
from runtime.settings import PREFIX, Settings, Topics
from schemas.codec import decode_dead_letter, decode_score
from schemas.errors import DependencyError
from schemas.records import KnownOutcome, Score, Source
from schemas.tables.builtin import is_builtin
from schemas.topics import DEAD_LETTER_HEADER
from scoring.model_artifact import Artifact, load

_KAFKA_PORT: Final = 9092
"""The default port of all commands."""
TOPICS: Final = Topics(
    patients="demo.patients",
    scores="demo.risk-scores",
    dead_letters="demo.dead-letters",
    outcomes="demo.outcomes",
    shadow="demo.shadow-scores",
)
"""Used whatever the settings are: on a given broker, the demo must not mix with real records."""
_RETENTION: Final = {"retention.ms": "600000", "retention.bytes": str(256 << 20), "segment.ms": "60000"}
"""Ten minutes, in segments of one minute: an endless demo needs no more disk space than one of an hour."""
_PARTITIONS: Final = 4
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TICK_SECONDS: Final = 0.05
"""The interval of producing. Each time costs one request per partition, and one per partition of results."""
_OUTCOME_LINGER_MS: Final = 1000
"""Outcomes are not urgent."""
_SETTLE_SECONDS: Final = 60.0
_CALL_SECONDS: Final = 10.0
_BATCH: Final = 1000


class DemoRequest(msgspec.Struct, frozen=True):
    """Options of the demo. `records` 0 runs until interrupted, on the default ports; `rate` is records per second."""

    broker: Kind
    model: Path
    rate: float
    records: int
    bad_share: float
    seed: int

    def port(self, usual: int) -> int:
        """Return the port to use: an endless demo uses the default ports, where the other commands find it."""
        return free_port() if self.records else preferred_port(usual)


def run_demo(request: DemoRequest, settings: Settings, view: View) -> Summary:
    """Run the demo to its end, or Ctrl-C; returns the counts. Raises DependencyError if a part fails."""
    given, artifact = settings.kafka.bootstrap_servers, load(request.model)
    with ExitStack() as stack:
        view.print_line(f"broker: starting ({request.broker})")
        address = stack.enter_context(running_broker(request.broker, given, request.port(_KAFKA_PORT)))
        names = msgspec.structs.astuple(TOPICS)
        create_topics(address, names, _PARTITIONS, settings.kafka.options, config=_RETENTION)
        view.print_line(f"broker: {address}")
        view.print_line(f"topics: demo.{{{','.join(name.removeprefix('demo.') for name in names)}}}")
        view.print_line("worker and gateway: starting")
        worker, gateway = _start(stack, request, settings, address)
        client = {"bootstrap.servers": address, **settings.kafka.options}
        outcomes = known_outcomes() if not request.records and is_builtin(artifact.table) else {}
        stream = _Stream(client, Reconciliation(), outcomes)
        stack.callback(stream.close)
        stream.await_assignment()
        worker.await_ready()
        gateway.await_ready()
        view.print_line(f"worker: ready, metrics at {worker.url}/metrics")
        _predict_once(gateway, artifact, request, view)
        if not request.records:
            _print_endpoints(request, address, gateway, view)
        _produce(stream, artifact, request, (worker, gateway), view)
        stream.settle((worker,), view)
        view.print_line("stopping the worker and the gateway")
    return stream.reconciliation.summary()


def _topic_settings() -> dict[str, str]:
    """Return the settings for the demo's topics."""
    return {f"{PREFIX}TOPICS__{field.upper()}": name for field, name in msgspec.structs.asdict(TOPICS).items()}


def _start(stack: ExitStack, request: DemoRequest, settings: Settings, address: str) -> tuple[Child, Child]:
    """Start worker and gateway."""
    logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heartstream-demo-")))
    worker_port, gateway_port = request.port(settings.telemetry.port), request.port(settings.gateway.port)
    common = {
        "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": address,
        "HEARTSTREAM_MODEL__PATH": str(request.model),
        "HEARTSTREAM_WORKER__GROUP_ID": f"heartstream-demo-{uuid.uuid4().hex[:8]}",
        "HEARTSTREAM_TELEMETRY__PORT": str(worker_port),
        "HEARTSTREAM_GATEWAY__PORT": str(gateway_port),
        **_topic_settings(),
    }
    live = {} if request.records else {"HEARTSTREAM_GATEWAY__LIVE": "true"}
    worker = running("worker", common, f"http://127.0.0.1:{worker_port}", logs / "worker.log")
    gateway = running("gateway", common | live, f"http://127.0.0.1:{gateway_port}", logs / "gateway.log")
    return stack.enter_context(worker), stack.enter_context(gateway)


def _predict_once(gateway: Child, artifact: Artifact, request: DemoRequest, view: View) -> None:
    """Score one patient over HTTP."""
    first = next(record for record in demo_records(request.seed, 0.0, artifact) if record.value is not None)
    answer = predict(gateway.url, first.value or b"")
    view.print_line(f"gateway: POST {gateway.url}/predict -> risk {answer['risk']}, label {answer['label']}")


def _print_endpoints(request: DemoRequest, address: str, gateway: Child, view: View) -> None:
    """Print the address of the page, and the settings for other commands."""
    needed = _topic_settings()
    if request.broker != "given" and not address.endswith(f":{_KAFKA_PORT}"):
        needed["HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS"] = address
    view.print_line("to use other commands on this stream, in another terminal:")
    view.print_line(f"export {' '.join(f'{name}={text}' for name, text in needed.items())}")
    view.print_line(f"live page: {gateway.url}; stop with Ctrl-C")


def _produce(
    stream: _Stream, artifact: Artifact, request: DemoRequest, children: tuple[Child, ...], view: View
) -> None:
    """Produce at the given rate and read results, until the last record or Ctrl-C."""
    source = demo_records(request.seed, request.bad_share, artifact)
    records: Iterator[DemoRecord] = itertools.islice(source, request.records) if request.records else source
    started, sent = time.monotonic(), 0
    with _interruptions() as interruptions:
        while not interruptions:
            tick_ends = time.monotonic() + _TICK_SECONDS
            due = int((time.monotonic() - started) * request.rate) - sent
            batch = list(itertools.islice(records, due))
            for record in batch:
                stream.send(record)
            sent += len(batch)
            if due > len(batch):
                return
            while (left := tick_ends - time.monotonic()) > 0:
                stream.read(left)
            view.update(stream.reconciliation)
            for child in children:
                child.check()
    view.print_line("interrupted: no more records are produced; waiting for the remaining results")


@contextmanager
def _interruptions() -> Iterator[list[int]]:
    """Yield the list of received signals: an exception would lose results that are being read."""
    received: list[int] = []
    signums = [signum for signum in _ENDING if signal.getsignal(signum) is not signal.SIG_IGN]
    before = [signal.signal(signum, lambda signum, _: received.append(signum)) for signum in signums]
    try:
        yield received
    finally:
        for signum, handler in zip(signums, before, strict=True):
            signal.signal(signum, handler)


class _Stream:
    """The demo's Kafka client: produces patients and reads results."""

    def __init__(self, client: dict[str, str], reconciliation: Reconciliation, outcomes: Mapping[str, Outcome]) -> None:
        """`outcomes` are by patient id: a score of one of these patients is followed by the outcome."""
        self.reconciliation = reconciliation
        self._outcomes = outcomes
        client |= {"log_level": "2"}
        self._producer = Producer({**client, "partitioner": "murmur2_random", "linger.ms": 5})
        self._outcome_producer = Producer({**client, "linger.ms": _OUTCOME_LINGER_MS})
        self._consumer = Consumer({**client, "group.id": f"heartstream-demo-view-{uuid.uuid4().hex[:8]}"})
        self._assigned = False
        self._consumer.subscribe([TOPICS.scores, TOPICS.dead_letters], on_assign=self._on_assign)

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        """Start at the current end: "latest" is resolved later, when there may be results already."""
        for partition in partitions:
            partition.offset = _end_of(consumer, partition)
        consumer.assign(partitions)
        self._assigned = True

    def await_assignment(self) -> None:
        """Wait for the assignment, so that no result is missed."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while not self._assigned and time.monotonic() < deadline:
            self._consumer.poll(0.1)

    def send(self, record: DemoRecord) -> None:
        """Produce one record."""
        good = record.flaw is None

        def confirmed(error: KafkaError | None, message: Message) -> None:
            if error is None:
                source = Source(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
                self.reconciliation.produced(source, good=good, at=_time_of(message))

        self._producer.produce(TOPICS.patients, record.value, record.key, on_delivery=confirmed)

    def read(self, seconds: float) -> None:
        """Handle delivery reports and results; wait at most `seconds` for the first result."""
        self._producer.poll(0)
        messages = [*self._consumer.consume(1, seconds), *self._consumer.consume(_BATCH, 0)]
        self._producer.poll(0)
        self.reconciliation.settle_early(time.time())
        for message in messages:
            if message.error() is None:
                self._note(message)

    def _note(self, message: Message) -> None:
        if message.topic() == TOPICS.scores:
            score = decode_score(message.value() or b"")
            self.reconciliation.scored(score, _time_of(message))
            self._produce_outcome(score)
            return
        letter = decode_dead_letter(dict(headers_of(message))[DEAD_LETTER_HEADER] or b"")
        self.reconciliation.dead(letter, _time_of(message))

    def _produce_outcome(self, score: Score) -> None:
        found = self._outcomes.get(score.patient_id)
        if found is not None:
            outcome = KnownOutcome(score.patient_id, found, score.source)
            self._outcome_producer.produce(TOPICS.outcomes, msgspec.json.encode(outcome), score.patient_id)
            self._outcome_producer.poll(0)

    def settle(self, children: tuple[Child, ...], view: View) -> None:
        """Read until every record has its outcome, for at most a minute."""
        self._producer.flush(_SETTLE_SECONDS)
        deadline = time.monotonic() + _SETTLE_SECONDS
        while self.reconciliation.summary().open and time.monotonic() < deadline:
            self.read(_TICK_SECONDS)
            view.update(self.reconciliation)
            for child in children:
                child.check()
        view.update(self.reconciliation)

    def close(self) -> None:
        """Flush the producers and close the clients."""
        for producer in (self._producer, self._outcome_producer):
            producer.flush(_CALL_SECONDS)
        self._consumer.close()


def _time_of(message: Message) -> float:
    return float(message.timestamp()[1]) / 1000


def _end_of(consumer: Consumer, partition: TopicPartition) -> int:
    """Return the end offset of a partition. A new partition may have no leader yet, so failures are retried."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        try:
            return int(consumer.get_watermark_offsets(partition, timeout=_CALL_SECONDS)[1])
        except KafkaException as failure:
            if time.monotonic() > deadline:
                raise DependencyError(
                    f"cannot read the end offset of partition {partition.partition} of {partition.topic}: "
                    f"{failure.args[0].str()}"
                ) from failure
        time.sleep(_TICK_SECONDS)
