"""Draws the first screen of the Grafana dashboard, its golden signals, of a real run.

    heartstream train --output model && python docs/pictures/make_dashboard.py model

Two workers, a gateway and a broker run for some minutes, undisturbed at first: dashboard.png. Then the broker freezes
for a while; later a worker is killed, and comes back: dashboard-faults.png. A Prometheus with compose's configuration
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
from traffic import produce

from heartstream.brokers import docker_is_usable
from heartstream.demo.patients import demo_records
from heartstream.demo.processes import Child, predict, running
from runtime.kafka.topics import create_topics
from runtime.ports import free_port
from schemas.topics import DEAD_LETTERS, PATIENTS, SCORES
from tests.support.brokers import cut_off, running_kind
from tests.support.prometheus import Line, Prometheus, as_asked, queries, running_prometheus

FOLDER: Final = Path(__file__).parent
DASHBOARD: Final = Path(__file__).parents[2] / "compose" / "grafana" / "heartstream.json"
_WARM_UP_SECONDS: Final = 30
_FROZEN_AFTER, _THAWED_AFTER, _KILLED_AFTER, _BACK_AFTER, _SECONDS = 45, 75, 120, 165, 210
"""Of each of the two periods, which last equally long."""
_SCRAPE_SECONDS: Final = 1.0
_RATE_INTERVAL: Final = "6s"
_COLOURS: Final = 128
_DPI: Final = 150
_BAD_SHARE: Final = 0.01
_NAMES: Final = ("worker-1", "worker-2", "gateway")


def main() -> None:
    """Run everything, ask and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="model directory that `heartstream train` wrote")
    model = parser.parse_args().model
    if not docker_is_usable():
        raise SystemExit("no Docker here that has Kafka's image")
    dashboard = _first_row(json.loads(DASHBOARD.read_text(encoding="utf-8")))
    for name, found in _observe(model, dashboard).items():
        with mpl.rc_context({"backend": "agg", "font.family": "DejaVu Sans"}):
            figure, drawn = draw(dashboard, found, _SECONDS), io.BytesIO()
            figure.savefig(drawn, format="png", dpi=_DPI)
        with Image.open(drawn) as whole:
            whole.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)
        sys.stdout.write(f"wrote {name}\n")


def _first_row(dashboard: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dashboard without all but its first row."""
    panels = dashboard["panels"]
    rows = [place for place, panel in enumerate(panels) if panel["type"] == "row"]
    return {**dashboard, "panels": panels[: rows[1]]}


def _observe(model: Path, dashboard: Mapping[str, Any]) -> dict[str, dict[int, list[Series]]]:
    """Let records flow, freeze the broker, kill a worker and start it again.

    Returns each panel's series by its id, without and with these faults, by the name of the picture.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(running_kind("docker"))
        create_topics(broker, (PATIENTS, SCORES, DEAD_LETTERS), 4, {})
        places = {name: f"127.0.0.1:{free_port()}" for name in _NAMES}
        settings = _settings(broker, model)
        first, _, gateway = (_start(stack, name, places[name], settings, folder) for name in _NAMES)
        workers = [places[name] for name in _NAMES if name != "gateway"]
        targets = {"worker": workers, "gateway": [places["gateway"]]}
        prometheus = stack.enter_context(running_prometheus(folder, targets, _SCRAPE_SECONDS))
        stack.enter_context(_load(broker, gateway.url))
        names = {place: name for name, place in places.items()}
        healthy = time.time() + _WARM_UP_SECONDS
        _sleep_until(healthy + _SECONDS)
        undisturbed = _answers(prometheus, dashboard, healthy, names)
        started = time.time()
        _sleep_until(started + _FROZEN_AFTER)
        with cut_off(broker):
            _sleep_until(started + _THAWED_AFTER)
        _sleep_until(started + _KILLED_AFTER)
        first.process.kill()
        _sleep_until(started + _BACK_AFTER)
        _start(stack, "worker-1", places["worker-1"], settings, folder)
        _sleep_until(started + _SECONDS)
        faulty = _answers(prometheus, dashboard, started, names)
        return {"dashboard.png": undisturbed, "dashboard-faults.png": faulty}


def _settings(broker: str, model: Path) -> dict[str, str]:
    return {
        "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS": broker,
        "HEARTSTREAM_MODEL__PATH": str(model),
    }


def _start(stack: ExitStack, name: str, place: str, settings: Mapping[str, str], folder: Path) -> Child:
    command = name.rstrip("-12")
    group = "GATEWAY" if command == "gateway" else "TELEMETRY"
    own = {**settings, f"HEARTSTREAM_{group}__PORT": place.rsplit(":", 1)[1]}
    child = stack.enter_context(running(command, own, f"http://{place}", folder / f"{name}.log"))
    child.await_ready()
    return child


@contextmanager
def _load(broker: str, url: str) -> Iterator[None]:
    """Send some 1,000 patients a second through Kafka, a few of them broken, and 20 over HTTP, not quite evenly."""
    ending = threading.Event()
    threads = [
        threading.Thread(target=produce, args=(broker, 80, 120, ending, _BAD_SHARE)),
        threading.Thread(target=_ask, args=(url, ending)),
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
    records, dice = demo_records(8, 0.0), random.Random(8)  # noqa: S311
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
