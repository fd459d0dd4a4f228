"""Apache Kafka on a container network of its own, reachable from inside and from the host."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from heartstream.brokers import IMAGE, await_broker, container_environment, container_properties
from runtime.ports import free_port
from scoring.scorer import Scorer
from tests.support.brokers import Listener, with_listener
from tests.support.docker_cli import docker
from tests.support.outcomes import Scored, process
from tests.support.stream import Sent, Stream

INSIDE: Final = "kafka:9092"


class Broker(msgspec.Struct, frozen=True):
    """A running broker: containers on `network` reach it at `INSIDE`, the host at `outside`."""

    network: str
    outside: str


@contextmanager
def running_broker() -> Iterator[Broker]:
    """Run a broker and its network in the context."""
    name, port = f"heartstream-images-{uuid.uuid4().hex[:8]}", free_port()
    docker("network", "create", name)
    try:
        properties = with_listener(container_properties(port), Listener("INSIDE", 9092, INSIDE))
        environment = [f"--env={key}={value}" for key, value in container_environment(properties).items()]
        placing = (f"--network={name}", "--network-alias=kafka", f"--publish=127.0.0.1:{port}:{port}")
        container = docker("run", "--detach", f"--name={name}", *placing, *environment, IMAGE).strip()
        try:
            await_broker(f"localhost:{port}")
            yield Broker(name, f"localhost:{port}")
        finally:
            docker("rm", "--force", "--volumes", container)
    finally:
        docker("network", "rm", name)


def check_outcomes(stream: Stream, scorer: Scorer) -> str:
    """Check that each sent record has one outcome, the correct one; return the number of each kind."""
    stream.read_all()
    assert (len(stream.sent), 0) == (stream.answered, stream.repeated())
    scored = sum(_is_scored(stream, sent, scorer) for sent in stream.sent)
    letters = len(stream.sent) - scored
    return f"{scored} scores, {letters} dead letter{'' if letters == 1 else 's'}"


def _is_scored(stream: Stream, sent: Sent, scorer: Scorer) -> bool:
    """Return whether a record was scored; fail if it should not have been, or with another score."""
    (expected,) = process([sent.value], [sent.source], scorer)
    result = stream.only(sent)
    if isinstance(expected, Scored):
        assert result.value == expected.value
        return True
    assert result.letter is not None, "a score where a dead letter was due"
    assert (result.value, result.letter.errors) == (sent.value, expected.issues)
    return False


def send(stream: Stream, values: Sequence[bytes]) -> None:
    """Produce these records, each with its own key."""
    for number, value in enumerate(values):
        stream.send(value, f"key-{number}".encode())
    stream.flush()
