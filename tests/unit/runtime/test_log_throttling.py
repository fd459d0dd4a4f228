"""Laws of log throttling: equal lines are written once per interval, with the number of suppressed ones."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections import Counter

from runtime.log_throttling import LogThrottle, ThrottlingFilter


def test_the_first_line_is_written_and_then_one_per_interval() -> None:
    """Each kind of line is throttled by itself; a line that is written has the number suppressed since the last."""
    now = 0.0
    throttle = LogThrottle(10.0, lambda: now)
    assert [throttle.admit("a"), throttle.admit("a"), throttle.admit("b")] == [0, None, 0]
    now = 9.9
    assert throttle.admit("a") is None
    now = 10.0
    assert [throttle.admit("a"), throttle.admit("a")] == [2, None]
    now = 25.0
    assert [throttle.admit("a"), throttle.admit("b")] == [1, 0]


def test_another_error_of_the_same_client_is_written() -> None:
    """Lines that differ only in numbers, such as ports and milliseconds, are equal; another cause is another line."""
    throttle = ThrottlingFilter()
    texts = ["b:1 Connect failed (after 0ms)", "b:1 Connect failed (after 10ms)", "b:1 SASL authentication error"]
    lines = [logging.LogRecord("librdkafka", 40, "", 0, "%s [%s] %s", ("FAIL", "c", text), None) for text in texts]
    assert [throttle.filter(line) for line in lines] == [True, False, True]


def test_old_kinds_are_forgotten() -> None:
    """Kinds that have not occurred for an interval are forgotten, so memory stays bounded."""
    now = 0.0
    throttle = LogThrottle(10.0, lambda: now)
    for kind in range(300):
        throttle.admit(kind)
    now = 10.0
    throttle.admit("another")
    assert throttle.kinds == 1


WITHOUT_BROKER = """
import time
from confluent_kafka import Consumer
from runtime import events, logs
from runtime.ports import free_port
from runtime.settings import Telemetry

logs.configure(Telemetry())
seen = 0
def on_error(error):
    global seen
    seen += 1
    events.KafkaClientError("consumer", error.name()).emit()
options = {"bootstrap.servers": f"127.0.0.1:{free_port()}", "group.id": "g", "error_cb": on_error}
client = Consumer({**options, "reconnect.backoff.max.ms": 100}, logger=logs.CLIENT_LOG)
while seen < 20:
    client.poll(0.1)
client.close()
"""


def test_an_unreachable_broker_does_not_flood_the_log() -> None:
    """Though a client reports each failed attempt, each kind of line is written once in ten seconds."""
    ran = subprocess.run([sys.executable, "-c", WITHOUT_BROKER], capture_output=True, text=True, check=True, timeout=60)
    lines = [json.loads(line) for line in ran.stderr.splitlines()]
    ours = Counter(line["code"] for line in lines if line["event"] == "kafka client error")
    theirs = Counter(re.sub(r"\d+", "", str(line["event"])) for line in lines if line.get("logger") == "librdkafka")
    assert set(ours.values()) == set(theirs.values()) == {1}
