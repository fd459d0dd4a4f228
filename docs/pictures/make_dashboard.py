"""Draws docs/pictures/dashboard.png: the Grafana dashboard's panels, of a real run with two faults in it.

    heartstream train --output model && python docs/pictures/make_dashboard.py model

Two workers with a canary, a challenger in shadow, what judges by outcomes, a gateway and a broker run for some minutes.
The broker freezes for a while; later a worker is killed, and comes back. A Prometheus with compose's configuration
scrapes them, and is asked for what the dashboard asks for. Needs Prometheus (Debian: apt install prometheus), Docker
for the broker, and the `dev` dependency group.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import re
import sys
import tempfile
import threading
import time
import urllib.error
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from panels import Series, draw
from PIL import Image
from traffic import BAD_SHARE, produce, tell_outcomes

from heartstream.brokers import docker_is_usable
from heartstream.demo.patients import demo_records
from heartstream.demo.processes import Child, predict, running
from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from schemas.topics import DEAD_LETTERS, OUTCOMES, PATIENTS, SCORES, SHADOW
from tests.support.brokers import cut_off, running_kind
from tests.support.prometheus import Line, Prometheus, as_asked, queries, running_prometheus

PICTURE: Final = Path(__file__).parent / "dashboard.png"
DASHBOARD: Final = Path(__file__).parents[2] / "compose" / "grafana" / "heartstream.json"
_FROZEN_AFTER, _THAWED_AFTER, _KILLED_AFTER, _BACK_AFTER, _SECONDS = 45, 75, 120, 165, 210
_SCRAPE_SECONDS: Final = 1.0
_RATE_INTERVAL: Final = "6s"
_COLOURS: Final = 128
_KNOWN_SHARE: Final = 0.02
_NAMES: Final = ("worker-1", "worker-2", "shadow", "outcomes", "gateway")


def main() -> None:
    """Run everything, ask and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model directory that `heartstream train` wrote")
    model = parser.parse_args().model
    if not docker_is_usable():
        raise SystemExit("no Docker here that has Kafka's image")
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found = _observe(model, dashboard)
    with mpl.rc_context({"backend": "agg", "font.family": "DejaVu Sans"}):
        figure, drawn = draw(dashboard, found, _SECONDS), io.BytesIO()
        figure.savefig(drawn, format="png", dpi=110)
    with Image.open(drawn) as whole:
        whole.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    sys.stdout.write(f"wrote {PICTURE.name}\n")


def _observe(model: Path, dashboard: Mapping[str, Any]) -> dict[int, list[Series]]:
    """Let records flow, freeze the broker, kill a worker and start it again; return each panel's series by its id."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(running_kind("docker"))
        create_topics(broker, (PATIENTS, SCORES, DEAD_LETTERS, OUTCOMES, SHADOW), 4, {})
        places = {name: f"127.0.0.1:{free_port()}" for name in _NAMES}
        settings = _settings(broker, model)
        first, _, _, _, gateway = (_start(stack, name, places[name], settings, folder) for name in _NAMES)
        workers = [places[name] for name in _NAMES if name != "gateway"]
        targets = {"worker": workers, "gateway": [places["gateway"]]}
        prometheus = stack.enter_context(running_prometheus(folder, targets, _SCRAPE_SECONDS))
        stack.enter_context(_load(broker, gateway.url))
        started = time.time()
        _sleep_until(started + _FROZEN_AFTER)
        with cut_off(broker):
            _sleep_until(started + _THAWED_AFTER)
        _sleep_until(started + _KILLED_AFTER)
        first.process.kill()
        _sleep_until(started + _BACK_AFTER)
        _start(stack, "worker-1", places["worker-1"], settings, folder)
        _sleep_until(started + _SECONDS)
        return _answers(prometheus, dashboard, started, {place: name for name, place in places.items()})


def _settings(broker: str, model: Path) -> dict[str, str]:
    return {
        "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": broker,
        "HEARTSTREAM_MODEL__PATH": str(model),
        "HEARTSTREAM_CHALLENGER__PATH": str(model),
        "HEARTSTREAM_CHALLENGER__NAME": "random_forest",
        "HEARTSTREAM_CHALLENGER__SAMPLE_RATIO": "0.25",
        "HEARTSTREAM_CHALLENGER__CANARY_SHARE": "0.1",
    }


def _start(stack: ExitStack, name: str, place: str, settings: Mapping[str, str], folder: Path) -> Child:
    command = name.rstrip("-12")
    arguments = ("--follow", "--interval", "10") if command == "outcomes" else ()
    group = "GATEWAY" if command == "gateway" else "TELEMETRY"
    own = {**settings, f"HEARTSTREAM_{group}__PORT": place.rsplit(":", 1)[1]}
    child = stack.enter_context(running(command, own, f"http://{place}", folder / f"{name}.log", arguments))
    child.await_ready()
    return child


@contextmanager
def _load(broker: str, url: str) -> Iterator[None]:
    """Send some 1,000 patients a second through Kafka and 20 over HTTP, not quite evenly, a few of them broken."""
    ending = threading.Event()
    threads = [
        threading.Thread(target=produce, args=(broker, 80, 120, ending)),
        threading.Thread(target=_ask, args=(url, ending)),
        threading.Thread(target=tell_outcomes, args=(broker, _KNOWN_SHARE, ending)),
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def _ask(url: str, ending: threading.Event) -> None:
    records, dice = demo_records(8, BAD_SHARE), random.Random(8)  # noqa: S311
    while not ending.wait(dice.uniform(0.02, 0.08)):
        try:
            predict(url, next(records).value or b"")
        except urllib.error.HTTPError as error:
            error.close()


def _sleep_until(then: float) -> None:
    time.sleep(max(0.0, then - time.time()))


def _answers(
    prometheus: Prometheus, dashboard: Mapping[str, Any], started: float, names: Mapping[str, str]
) -> dict[int, list[Series]]:
    """Ask for all that the dashboard asks for, from the start until now."""
    found: dict[int, list[Series]] = {}
    for panel, target in queries(dashboard):
        asked = as_asked(target["expr"], _RATE_INTERVAL)
        if panel["type"] == "table":
            lines = prometheus.query(asked)
        else:
            lines = prometheus.query_range(asked, started, started + _SECONDS, _SCRAPE_SECONDS)
        found.setdefault(panel["id"], []).extend(
            _series(line, target["legendFormat"], started, names) for line in lines
        )
    return found


def _series(line: Line, legend: str, started: float, names: Mapping[str, str]) -> Series:
    labels = {name: names.get(value, value) for name, value in line.labels.items() if name != "__name__"}
    named = re.sub(r"{{(\w+)}}", lambda label: labels.get(label[1], ""), legend)
    return Series(named, labels, [(at - started, value) for at, value in line.points])


if __name__ == "__main__":
    main()
