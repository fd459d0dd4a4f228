"""The schema registry client, against a server that fails as a registry does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from confluent_kafka import Message

from schemas.errors import DependencyError
from schemas.wire_format import schema_prefix
from tests.fakes.schema_registry import FailingRegistry
from worker.serdes import Serdes

JSON = b'{"schema":"{}","schemaType":"JSON","later":{}}'


@pytest.fixture
def failing() -> Iterator[FailingRegistry]:
    server = FailingRegistry([])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_server_errors_are_retried_twice(failing: FailingRegistry) -> None:
    """The third response counts, and every request carries the credentials."""
    failing.answers += [(503, b""), (500, b""), (200, JSON)]
    found = failing.registry.schema(7)
    assert found is not None
    assert found.schema_type == "JSON"
    assert failing.asked == [("/schemas/ids/7", "Basic dTpw")] * 3


@pytest.mark.parametrize("answers", [[(503, b"")] * 3, [(401, b"")], [(200, b"<html>")], [(200, b"\xff")]], ids=repr)
def test_a_failing_registry_stops_the_process(failing: FailingRegistry, answers: list[tuple[int, bytes]]) -> None:
    """Errors that a retry cannot fix are not retried."""
    failing.answers += answers
    asked = len(answers)
    with pytest.raises(DependencyError, match="schema registry"):
        Serdes(failing.registry).content_of(Message(topic="patients", value=schema_prefix(7) + b"{}"))
    assert len(failing.asked) == asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_credentials_do_not_follow_a_redirect(failing: FailingRegistry, status: int) -> None:
    """The other host gets no request; the error names the setting."""
    other_host = FailingRegistry([(200, JSON)] * 2)
    failing.answers += [(status, b"")] * 2
    failing.location = f"http://127.0.0.1:{other_host.server_port}/schemas/ids/7"
    threading.Thread(target=other_host.serve_forever, daemon=True).start()
    message = f"HTTP {status}, and redirects are not followed: set HEARTSTREAM_SCHEMA_REGISTRY__URL"
    with pytest.raises(DependencyError, match=message):
        failing.registry.schema(7)
    with pytest.raises(DependencyError, match=message):
        failing.registry.number("scores-value", "{}")
    other_host.shutdown()
    other_host.server_close()
    assert other_host.asked == []


def test_a_schema_is_fetched_once_and_an_unknown_id_again_after_a_while(
    failing: FailingRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand records cost one request; a schema that is registered later is found."""
    now = [0.0]
    monkeypatch.setattr("worker.serdes.time.monotonic", lambda: now[0])
    failing.answers += [(404, b""), (200, JSON)]
    serdes, message = Serdes(failing.registry), Message(topic="patients", value=schema_prefix(7) + b"{}")
    assert all(isinstance(serdes.content_of(message), tuple) for _ in range(1_000))
    assert len(failing.asked) == 1
    now[0] = 31.0
    assert [serdes.content_of(message) for _ in range(3)] == [b"{}"] * 3
    assert len(failing.asked) == 2


async def test_the_event_loop_is_not_blocked_by_the_registry(failing: FailingRegistry) -> None:
    """The response arrives while the loop runs; the batch then finds its schema in the cache."""
    turned = threading.Event()
    failing.answers += [(404, b"")]
    failing.before_answer = lambda: turned.wait(30)
    serdes, value = Serdes(failing.registry), schema_prefix(7) + b"{}"
    preparing = asyncio.create_task(serdes.prepare([value, None, b"{}", value]))
    for _ in range(100):
        await asyncio.sleep(0)
    turned.set()
    await asyncio.wait_for(preparing, 30)
    assert isinstance(serdes.content_of(Message(topic="patients", value=value)), tuple)
    assert len(failing.asked) == 1


def test_the_cache_of_unknown_ids_is_bounded(failing: FailingRegistry) -> None:
    """A producer that sends ever new schema IDs does not fill the memory."""
    failing.answers += [(404, b"")] * 1_200
    serdes = Serdes(failing.registry)
    for number in range(1_200):
        serdes.content_of(Message(topic="patients", value=schema_prefix(number) + b"{}"))
    assert len(serdes._unknown) <= 1_000  # what is bounded
