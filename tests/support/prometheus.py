"""A real Prometheus that scrapes our processes, with the configuration and rules of compose/prometheus."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import yaml

from runtime.ports import free_port

FOLDER = Path(__file__).parents[2] / "compose" / "prometheus"
_START_SECONDS = 60.0


class Line(msgspec.Struct, frozen=True):
    """One series of a response: its labels, and its values by Unix time."""

    labels: dict[str, str]
    points: list[tuple[float, float]]

    @property
    def last(self) -> float:
        return self.points[-1][1]


class Prometheus:
    """A client of a running Prometheus."""

    def __init__(self, url: str) -> None:
        self._url = url

    def query(self, expression: str) -> list[Line]:
        """Evaluate an expression now; raises AssertionError with Prometheus' error."""
        answer = self._ask("query", query=expression)
        if answer["resultType"] == "scalar":
            return [Line({}, [_point(answer["result"])])]
        return [Line(line["metric"], [_point(line["value"])]) for line in answer["result"]]

    def query_range(self, expression: str, start: float, end: float, step: float) -> list[Line]:
        """Evaluate an expression over a period."""
        answer = self._ask("query_range", query=expression, start=str(start), end=str(end), step=str(step))
        return [Line(line["metric"], [*map(_point, line["values"])]) for line in answer["result"]]

    def rules(self) -> list[dict[str, Any]]:
        """Return all rules with their state."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def _ask(self, what: str, **parameters: str) -> Any:
        url = f"{self._url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{json.load(error)['error']}: {parameters}") from None


def _point(pair: tuple[float, str]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def is_installed(program: str) -> bool:
    """Whether `prometheus` or `promtool` is installed."""
    return shutil.which(program) is not None


@contextmanager
def running_prometheus(folder: Path, targets: Mapping[str, Sequence[str]], seconds: float) -> Iterator[Prometheus]:
    """Scrape these addresses, by job, every `seconds`; data and log are written to the folder."""
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text(encoding="utf-8"))
    config["global"] = dict.fromkeys(config["global"], f"{round(seconds * 1000)}ms")
    config["rule_files"] = [str(FOLDER / name) for name in config["rule_files"]]
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": list(targets[job["job_name"]])}]
    path, port = folder / "prometheus.yaml", free_port()
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    options = {"config.file": path, "storage.tsdb.path": folder / "data", "web.listen-address": f"127.0.0.1:{port}"}
    command = ["prometheus", "--log.level=warn", *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://127.0.0.1:{port}"
        _await_ready(process, url)
        yield Prometheus(url)
    finally:
        process.terminate()
        process.wait(60)


def _await_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        assert process.poll() is None, "prometheus has ended; see its log"
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=2):
                return
        except OSError:
            assert time.monotonic() < deadline, "prometheus did not become ready"
            time.sleep(0.1)


def queries(dashboard: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield each panel of a dashboard with each of its queries."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel, target


def as_asked(expression: str, rate_interval: str) -> str:
    """Fill in the variables that Grafana would."""
    return expression.replace("$__rate_interval", rate_interval)


def legend_labels(legend: str) -> set[str]:
    """Return the labels that a legend uses."""
    return set(re.findall(r"{{(\w+)}}", legend))
