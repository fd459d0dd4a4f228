"""Laws of asking a schema registry, on a server that fails as one does."""

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


def test_a_registry_that_stumbles_is_asked_again(failing: FailingRegistry) -> None:
    """Twice; what it says then counts, and each time it is told who asks."""
    failing.answers += [(503, b""), (500, b""), (200, JSON)]
    found = failing.registry.schema(7)
    assert found is not None
    assert found.schema_type == "JSON"
    assert failing.asked == [("/schemas/ids/7", "Basic dTpw")] * 3


@pytest.mark.parametrize("answers", [[(503, b"")] * 3, [(401, b"")], [(200, b"<html>")], [(200, b"\xff")]], ids=repr)
def test_a_registry_that_does_not_answer_stops_the_process(
    failing: FailingRegistry, answers: list[tuple[int, bytes]]
) -> None:
    """What no asking again can mend is not asked again."""
    failing.answers += answers
    asked = len(answers)
    with pytest.raises(DependencyError, match="schema registry"):
        Serdes(failing.registry).content_of(Message(topic="patients", value=schema_prefix(7) + b"{}"))
    assert len(failing.asked) == asked


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_credentials_do_not_follow_a_redirect(failing: FailingRegistry, status: int) -> None:
    """Nothing is asked of the other host; the error names the setting."""
    elsewhere = FailingRegistry([(200, JSON)] * 2)
    failing.answers += [(status, b"")] * 2
    failing.location = f"http://127.0.0.1:{elsewhere.server_port}/schemas/ids/7"
    threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
    told = f"HTTP {status}, and redirects are not followed: set HEARTSTREAM_SCHEMA_REGISTRY__URL"
    with pytest.raises(DependencyError, match=told):
        failing.registry.schema(7)
    with pytest.raises(DependencyError, match=told):
        failing.registry.number("scores-value", "{}")
    elsewhere.shutdown()
    elsewhere.server_close()
    assert elsewhere.asked == []


def test_a_schema_is_asked_for_once_and_an_unknown_number_once_in_a_while(
    failing: FailingRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand records that name it cost one request; it may be registered later, and is then found."""
    now = [0.0]
    monkeypatch.setattr("worker.serdes.time.monotonic", lambda: now[0])
    failing.answers += [(404, b""), (200, JSON)]
    serdes, message = Serdes(failing.registry), Message(topic="patients", value=schema_prefix(7) + b"{}")
    assert all(isinstance(serdes.content_of(message), tuple) for _ in range(1_000))
    assert len(failing.asked) == 1
    now[0] = 31.0
    assert [serdes.content_of(message) for _ in range(3)] == [b"{}"] * 3
    assert len(failing.asked) == 2


async def test_the_event_loop_goes_on_while_the_registry_is_asked(failing: FailingRegistry) -> None:
    """The answer comes only after the loop has turned; the batch then finds what it needs at hand."""
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


def test_memory_of_unknown_numbers_is_bounded(failing: FailingRegistry) -> None:
    """Whoever names ever new numbers fills no memory."""
    failing.answers += [(404, b"")] * 1_200
    serdes = Serdes(failing.registry)
    for number in range(1_200):
        serdes.content_of(Message(topic="patients", value=schema_prefix(number) + b"{}"))
    assert len(serdes._unknown) <= 1_000  # what is bounded
