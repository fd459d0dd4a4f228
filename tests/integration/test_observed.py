"""Laws of the dashboard and the alert rules: a real Prometheus scrapes a real worker and a gateway under load."""

from __future__ import annotations

import itertools
import json
import math
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest

from heartstream.demo.patients import demo_records
from heartstream.demo.processes import Child, predict
from runtime.settings import Topics
from schemas.errors import RejectionCode
from tests.support.cds_hooks import SERVICE, call, one_card, post
from tests.support.prometheus import Prometheus, as_asked, is_installed, legend_labels, queries, running_prometheus
from tests.support.stream import PARTITIONS, Stream
from tests.support.workers import Starter, Workers

pytestmark = pytest.mark.skipif(not is_installed("prometheus"), reason="prometheus is not installed")

DASHBOARD = json.loads(Path("compose/grafana/heartstream.json").read_text(encoding="utf-8"))
DEADLINE_SECONDS = 120.0
SCRAPE_SECONDS = 0.5
RATE_INTERVAL = "10s"
GOOD, BAD, ASKED, REFUSED = 400, 20, 12, 5
EMPTY_WHEN_WELL = {"Firing alerts"}
OF_OTHER_COMMANDS = ("heartstream_outcomes_", "heartstream_shadow_")
"""Metrics of `heartstream outcomes --follow` and `heartstream shadow`, which do not run here."""


class Observed(msgspec.Struct, frozen=True):
    """The running processes, and how to send them requests."""

    prometheus: Prometheus
    stream: Stream
    gateway: Child

    def send(self, good: int, bad: int, asked: int, refused: int) -> None:
        """Send records through both interfaces and wait for their outcomes."""
        patients = demo_records(3, 0.0)
        for record in itertools.islice(patients, good):
            self.stream.send(record.value, record.key)
        for _ in range(bad):
            self.stream.send(b"not json", b"k")
        for record in itertools.islice(patients, asked):
            predict(self.gateway.url, record.value or b"")
        for _ in range(refused):
            with pytest.raises(urllib.error.HTTPError) as refusal:
                predict(self.gateway.url, b"not json")
            refusal.value.close()
        self.stream.read_all()

    def send_card(self) -> None:
        """Ask for a card as an EHR does, and send feedback on it."""
        card = one_card(post(self.gateway, call()))
        feedback = {"card": card["uuid"], "outcome": "overridden", "outcomeTimestamp": "2026-11-30T10:05:31Z"}
        answer = post(self.gateway, {"feedback": [feedback]}, path=f"{SERVICE}/feedback")
        assert answer.status == HTTPStatus.OK, answer.body

    def total(self, expression: str) -> float | None:
        """Return the single value of an expression now, or None where it has none."""
        lines = self.prometheus.query(expression)
        return lines[0].last if lines else None

    def await_total(self, expression: str, wanted: float) -> None:
        """Wait until an expression has a value."""
        await_condition(lambda: self.total(expression) == wanted, lambda: (expression, self.total(expression), wanted))


def await_condition(condition: Callable[[], bool], describe: Callable[[], object]) -> None:
    """Wait until a condition holds; on a timeout, fail with the description of the state."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, describe()
        time.sleep(SCRAPE_SECONDS)


@pytest.fixture(scope="module")
def observed(
    broker: str, model_dir: Path, start: Starter, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Observed]:
    name, folder = f"patients-{uuid.uuid4().hex[:8]}", tmp_path_factory.mktemp("observed")
    topics = Topics(patients=name, scores=f"{name}-scores", dead_letters=f"{name}-dlq")
    workers = Workers(model_dir, topics, folder)
    settings = {
        "HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO": "1",
        # The same model again: the canary's metrics exist, and do not differ from the champion's.
        "HEARTSTREAM_CHALLENGER__PATH": str(model_dir),
        "HEARTSTREAM_CHALLENGER__CANARY_SHARE": "0.5",
    }
    with (
        Stream.open(broker, topics) as stream,
        workers.start(broker, **settings) as worker,
        start(CDS_HOOKS__ENABLED="true") as gateway,
    ):
        worker.await_ready()
        targets = {
            job: [child.url.removeprefix("http://")] for job, child in (("worker", worker), ("gateway", gateway))
        }
        with running_prometheus(folder, targets, SCRAPE_SECONDS) as prometheus:
            watched = Observed(prometheus, stream, gateway)
            watched.await_total("sum(up)", 2)
            watched.send(GOOD, BAD, ASKED, REFUSED)
            watched.await_total("sum(heartstream_end_to_end_latency_seconds_count)", GOOD + BAD)
            yield watched


def test_metrics_match_what_was_sent(observed: Observed) -> None:
    """The metrics in Prometheus match the produced and requested records and their outcomes exactly."""
    expected = {
        'heartstream_records_total{interface="kafka",outcome="scored"}': GOOD,
        'heartstream_records_total{interface="kafka",outcome="rejected"}': BAD,
        f'heartstream_dead_letters_total{{code="{RejectionCode.NOT_JSON}"}}': BAD,
        'heartstream_records_total{interface="http",outcome="scored"}': ASKED,
        'heartstream_http_requests_total{route="/predict",status="200"}': ASKED,
        'heartstream_http_requests_total{route="/predict",status="422"}': REFUSED,
        "sum(heartstream_consumer_lag_records)": 0,
        "sum(heartstream_assigned_partitions)": PARTITIONS,
        'count(heartstream_process_info{role="worker"})': 1,
        'count(heartstream_process_info{role="gateway"})': 1,
        "count(count by (digest) (heartstream_model_info))": 1,
        'sum(heartstream_commits_total{result!="committed"})': 0,
    }
    observed.await_total("sum(heartstream_consumer_lag_records)", 0)
    assert {expression: observed.total(expression) for expression in expected} == expected


def test_every_panel_has_data(observed: Observed) -> None:
    """While records flow, each query of the dashboard returns numbers, with every label that its legend uses."""

    def empty() -> list[tuple[str, str]]:
        observed.send(20, 1, 2, 1)
        observed.send_card()
        return [
            (panel["title"], target["expr"])
            for panel, target in queries(DASHBOARD)
            if panel["title"] not in EMPTY_WHEN_WELL
            and not any(each in target["expr"] for each in OF_OTHER_COMMANDS)
            and not has_numbers(observed.prometheus, target["expr"], target["legendFormat"])
        ]

    await_condition(lambda: empty() == [], empty)


def has_numbers(prometheus: Prometheus, expression: str, legend: str) -> bool:
    lines = prometheus.query(as_asked(expression, RATE_INTERVAL))
    whole = [line for line in lines if not math.isnan(line.last) and legend_labels(legend) <= line.labels.keys()]
    return bool(whole)


def test_the_table_of_alerts_is_empty_without_alerts(observed: Observed) -> None:
    """The query of the table succeeds and returns no rows."""
    asked = [target["expr"] for panel, target in queries(DASHBOARD) if panel["title"] in EMPTY_WHEN_WELL]
    assert [observed.prometheus.query(expression) for expression in asked] == [[]]


def test_every_rule_is_evaluated_and_none_fires(observed: Observed) -> None:
    """Prometheus evaluates each rule without an error, and no alert fires; each expression can also be queried."""
    await_condition(
        lambda: all(rule["health"] != "unknown" for rule in observed.prometheus.rules()), observed.prometheus.rules
    )
    rules = observed.prometheus.rules()
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []
    assert [rule["name"] for rule in rules if rule.get("state") == "firing"] == []
    for rule in rules:
        observed.prometheus.query(rule["query"])


def test_every_objective_is_measured(observed: Observed) -> None:
    """Each burn rate is a number once there are requests to measure."""

    def unmeasured() -> list[str]:
        observed.send(20, 0, 2, 0)
        names = [rule["name"] for rule in observed.prometheus.rules() if rule["type"] == "recording"]
        totals = {name: observed.total(name) for name in names}
        return [name for name, total in totals.items() if total is None or math.isnan(total)]

    await_condition(lambda: unmeasured() == [], unmeasured)
