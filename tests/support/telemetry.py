"""The series that Prometheus has of our processes, and their labels, derived from the metrics themselves."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from runtime import metrics
from tests.support.promql import Named

ALERTS = Path("compose/prometheus/alerts.yaml")
_SCRAPED = {"instance"}
"""Labels that every scrape adds, under compose and in Kubernetes; the job's name differs between them."""
_OF_PROMETHEUS = {"up": _SCRAPED, "ALERTS": {"alertname", "alertstate", "severity"}}


def rules() -> list[dict[str, Any]]:
    """Return all rules, in order."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def known_series() -> dict[str, set[str]]:
    """Return the labels of every series that an expression may use."""
    known = {**_OF_PROMETHEUS, **{rule["record"]: set() for rule in rules() if "record" in rule}}
    for metric in metrics.DESCRIBED:
        labels = {*metric.labels, *_SCRAPED}
        if metric.kind == "histogram":
            known |= {f"{metric.name}_{part}": labels for part in ("sum", "count")}
            known[f"{metric.name}_bucket"] = {*labels, "le"}
        else:
            known[metric.name] = labels
    shown = {sample.name for sample in metrics.read(metrics.render()[0].decode())}
    return known | {name: _SCRAPED for name in shown if name.startswith("process_")}


def unknown(expression: str) -> list[str]:
    """Return the metrics and labels of an expression that do not exist."""
    named, known = Named.of(expression), known_series()
    reached = set().union(*(known.get(metric, set()) for metric in named.metrics))
    return [
        *sorted(named.metrics.keys() - known.keys()),
        *sorted(label for metric, labels in named.metrics.items() for label in labels - known.get(metric, set())),
        *sorted(named.grouping - reached),
    ]


def script(path: Path) -> ModuleType:
    """Load a script from the folder of its output."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
