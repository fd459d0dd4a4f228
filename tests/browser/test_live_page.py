"""Laws of the live view, with a real broker, a real worker, a real gateway and a real browser."""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
from confluent_kafka import Producer

from heartstream.demo.patients import real_patients
from heartstream.demo.processes import Child, running
from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from runtime.record_to_score import NAME
from tests.browser.accessible import violations
from tests.browser.visit import Visit
from tests.support.brokers import broker_kinds, running_kind

MARKER = "Zebra-4711"
DEADLINE_SECONDS = 60


class Running(NamedTuple):
    """A worker and a gateway on one broker."""

    gateway: Child
    worker: Child
    producer: Producer
    patients: str

    def send(self, count: int) -> None:
        """Produce patients, every tenth of them with an impossible age."""
        for index, record in enumerate(real_patients()[:count]):
            age = 630 if index % 10 == 9 else record["age"]
            self.producer.produce(self.patients, json.dumps({**record, "patient_id": MARKER, "age": age}))
        assert self.producer.flush(30) == 0


@pytest.fixture(scope="module")
def live(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder, name = tmp_path_factory.mktemp("live"), f"patients-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        broker = stack.enter_context(running_kind(broker_kinds()[0]))
        create_topics(broker, (name, f"{name}-scores", f"{name}-dlq"), 2, {})
        ports = [free_port(), free_port()]
        settings = {
            "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": broker,
            "HEARTSTREAM_MODEL__PATH": str(model_dir),
            "HEARTSTREAM_TOPICS__PATIENTS": name,
            "HEARTSTREAM_TOPICS__SCORES": f"{name}-scores",
            "HEARTSTREAM_TOPICS__DEAD_LETTERS": f"{name}-dlq",
            "HEARTSTREAM_WORKER__GROUP_ID": f"group-{name}",
            "HEARTSTREAM_TELEMETRY__PORT": str(ports[0]),
            "HEARTSTREAM_GATEWAY__PORT": str(ports[1]),
            "HEARTSTREAM_GATEWAY__LIVE": "true",
        }
        children = [
            stack.enter_context(running(command, settings, f"http://127.0.0.1:{port}", folder / f"{command}.log"))
            for command, port in zip(("worker", "gateway"), ports, strict=True)
        ]
        for child in children:
            child.await_ready()
        yield Running(children[1], children[0], Producer({"bootstrap.servers": broker, "log_level": 2}), name)
    sys.stdout.write("".join(child.log.read_text(encoding="utf-8") for child in children))
    assert children[1].process.returncode == 0
    assert MARKER not in children[1].log.read_text(encoding="utf-8")


@pytest.fixture
def watching(live: Running, browser) -> Iterator[Visit]:
    context = browser.new_context()
    visit = Visit(context.new_page(), live.gateway.url)
    visit.open("/#live")
    yield visit
    context.close()


def await_figure(live: Running, visit: Visit, condition: str) -> None:
    """Send patients until the page shows the figure; it shows nothing from before its subscription."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not visit.page.evaluate(f"() => Boolean({condition})"):
        assert time.monotonic() < deadline, visit.page.inner_text("#live")
        live.send(20)
        visit.page.wait_for_timeout(300)


def test_the_live_view_shows_scores(live: Running, watching: Visit) -> None:
    """The page shows the worker's rate, latency, risks, last scores and dead letters by code, and a lag of 0."""
    page = watching.page
    await_figure(
        live, watching, "document.querySelectorAll('#live-last td.number').length && document.querySelector('.codes')"
    )
    await_figure(live, watching, "document.getElementById('live-p50')?.textContent.endsWith('s')")
    await_figure(live, watching, "Number(document.getElementById('live-now').textContent) > 0")
    page.wait_for_selector("#live-lag:text-is('0')")
    assert page.inner_text("#live-state") == "Live"
    assert [f"{NAME}, {share}" in page.inner_text("#live-view") for share in ("p50", "p99")] == [True, True]
    assert page.locator("#live-risks rect").count() == 20
    assert "Out of range" in page.inner_text("#live-codes")
    assert MARKER not in page.content()
    assert violations(page) == []
    assert (watching.foreign_requests(), watching.console) == ([], [])


def test_the_live_view_can_be_paused(watching: Visit) -> None:
    """A button pauses the updates and resumes them."""
    page = watching.page
    page.wait_for_selector("#pause:visible")
    page.click("#pause")
    assert (page.get_attribute("#pause", "aria-pressed"), page.inner_text("#live-state")) == ("true", "Paused")
    page.click("#pause")
    assert page.inner_text("#live-state") == "Live"


def test_switching_tabs_ends_the_subscription(watching: Visit) -> None:
    """After the live tab was opened 21 times, the limit of 20 subscriptions is not exhausted."""
    page = watching.page
    for _ in range(21):
        page.click("#tab-live")
        page.wait_for_selector("#live-view:visible")
        page.click("#tab-score")
    page.click("#tab-live")
    page.wait_for_selector("#pause:visible")


def test_at_most_twenty_subscriptions(live: Running) -> None:
    """A subscription beyond the limit of twenty is refused with 503."""
    url = f"{live.gateway.url}/stream/events"
    with ExitStack() as stack:
        watched = 0
        with pytest.raises(urllib.error.HTTPError) as refusal:  # noqa: PT012  # others may be closing still
            while watched <= 20:
                stack.enter_context(urllib.request.urlopen(url, timeout=10))
                watched += 1
        refusal.value.close()
    assert refusal.value.code == 503
