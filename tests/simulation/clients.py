"""The common parts of all fake clients, and the fake admin client."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from greenlet import GreenletExit

from tests.simulation.network import ADMIN, Handler, Request
from tests.simulation.threads import Condition, World

TOPIC_ID = "topic-id-of-the-simulation"
CLUSTER_ID = "simulation"


def failure(code: int, **flags: bool) -> KafkaException:
    """Return the exception that a client raises."""
    return KafkaException(error_of(code, **flags))


def error_of(code: int, *, fatal: bool = False, retriable: bool = False, requires_abort: bool = False) -> KafkaError:
    """Return an error with the flags that librdkafka gives it."""
    return KafkaError(code, None, fatal, retriable, requires_abort)


class Client:
    """A client belongs to the process that created it, and is unusable after that process died."""

    def __init__(self, config: Mapping[str, Any], **_options: object) -> None:
        self.config = config
        self.cluster = World.cluster
        self.scheduler = World.scheduler
        self.process = self.scheduler.process()
        self.is_deaf = False
        """Whether it has closed its connections and waits for them forever (librdkafka's issue 5511)."""
        self._news = Condition()

    def wait(self, predicate: Callable[[], bool], timeout: float | None) -> bool:
        """Block until a condition holds, as checked after `notify`; return False after `timeout` seconds."""
        if self.process.is_dead:
            raise GreenletExit
        return self._news.wait_for(predicate, timeout)

    def notify(self) -> None:
        """Make waiting threads check their conditions."""
        self._news.notify_all()

    def send(
        self, role: str, kind: str, handler: Handler, on_answer: Callable[[Any], None], *, is_once: bool = False
    ) -> Request:
        """Send a request; the requests of a deaf client are lost."""
        if self.is_deaf:
            return Request(self.cluster.network, self.process, role, kind, _nobody, on_answer, is_once=is_once)
        return Request(self.cluster.network, self.process, role, kind, handler, on_answer, is_once=is_once)

    def ask(self, role: str, kind: str, question: Callable[[], Any], timeout: float) -> Any:
        """Send a request and wait; the response None means retry. Raises KafkaException after `timeout` seconds."""
        answer = Future(self, role, kind, question)
        return answer.result(timeout)


class Future:
    """A pending request; replaces `concurrent.futures.Future`."""

    def __init__(self, client: Client, role: str, kind: str, question: Callable[[], Any]) -> None:
        self._client, self._role, self._kind, self._question = client, role, kind, question
        self._answer: Any = None
        self._ask()

    def _ask(self) -> None:
        self._request = self._client.send(self._role, self._kind, lambda answer: answer(self._question()), self._hear)

    def _hear(self, answer: Any) -> None:
        if answer is None:
            self._client.process.later(0.1, self._ask)
            return
        self._answer = answer
        self._client.notify()

    def done(self) -> bool:
        return self._answer is not None

    def result(self, timeout: float) -> Any:
        if not self._client.wait(self.done, timeout):
            self._request.give_up()
            raise failure(KafkaError._TIMED_OUT)
        return self._answer


def _nobody(_answer: Callable[[Any], None]) -> None:
    pass


class FakeAdminClient(Client):
    """Replaces `confluent_kafka.admin.AdminClient`."""

    def list_topics(self, topic: str | None = None, timeout: float = 10.0) -> Any:  # noqa: ARG002
        return self.ask(ADMIN, "metadata", lambda: SimpleNamespace(cluster_id=CLUSTER_ID), timeout)

    def describe_topics(self, topics: Any, request_timeout: float = 10.0) -> dict[str, Future]:  # noqa: ARG002
        description = SimpleNamespace(topic_id=TOPIC_ID)
        return {name: Future(self, ADMIN, "metadata", lambda: description) for name in topics.topic_names}

    def list_consumer_group_offsets(
        self,
        questions: Sequence[Any],
        *,
        require_stable: bool = False,
        request_timeout: float = 10.0,  # noqa: ARG002
    ) -> dict[str, Future]:
        (question,) = questions
        tps = [(each.topic, each.partition) for each in question.topic_partitions]
        group = self.cluster.group

        def read() -> Any:
            unstable = group.unstable(tps) if require_stable else set()
            found = group.read([tp for tp in tps if tp not in unstable])
            return SimpleNamespace(topic_partitions=[_position_of(each, unstable) for each in positions(tps, found)])

        return {question.group_id: Future(self, ADMIN, "offsets", read)}


def _position_of(position: TopicPartition, unstable: Collection[tuple[str, int]]) -> Any:
    """Return an offset as the admin client returns it."""
    tp = position.topic, position.partition
    error = error_of(int(KafkaError.UNSTABLE_OFFSET_COMMIT)) if tp in unstable else None
    names = ("topic", "partition", "offset", "metadata")
    return SimpleNamespace(**{name: getattr(position, name) for name in names}, error=error)


def positions(tps: Sequence[tuple[str, int]], found: Mapping[tuple[str, int], tuple[int, str]]) -> list[TopicPartition]:
    """Return offsets as clients return them; -1001 where there is none."""
    listed = []
    for tp in tps:
        offset, note = found.get(tp, (-1001, ""))
        listed.append(TopicPartition(*tp, offset, metadata=note) if note else TopicPartition(*tp, offset))
    return listed
