"""The dashboard as Grafana's JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from compose.grafana.golden import GOLDEN
from compose.grafana.models import CHALLENGER, DRIFT, OUTCOMES
from compose.grafana.overview import ALERTS, GATEWAY, PROCESSES
from compose.grafana.panels import Panel, Row
from compose.grafana.stream import STREAM

DASHBOARD: Final = Path(__file__).parent / "heartstream.json"
_COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

ROWS: Final = (
    Row("Golden signals", GOLDEN),
    Row("Alerts and models", ALERTS),
    Row("Stream", STREAM),
    Row("Drift", DRIFT),
    Row("Outcomes", OUTCOMES),
    Row("Challenger", CHALLENGER),
    Row("Gateway", GATEWAY),
    Row("Processes", PROCESSES),
)


def render() -> str:
    """Return the dashboard as Grafana's JSON."""
    datasource = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    dashboard = {
        "title": "heartstream",
        "uid": "heartstream",
        "description": "docs/telemetry.md explains the metrics, docs/runbook.md the alerts.",
        "tags": ["heartstream"],
        "schemaVersion": 41,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "15s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [datasource]},
        "annotations": {"list": []},
        "panels": [{"id": number, **placed} for number, placed in enumerate(_placed(), 1)],
    }
    return json.dumps(dashboard, indent=1) + "\n"


def _placed() -> Iterator[dict[str, Any]]:
    """Yield all panels with their positions, row by row."""
    y = 0
    for row in ROWS:
        yield {"type": "row", "title": row.title, "collapsed": False, "panels": [], "gridPos": _grid(0, y, _COLUMNS, 1)}
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > _COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            yield {**_panel(panel), "gridPos": _grid(x, y, panel.width, panel.height)}
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _grid(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in panel.thresholds]
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": panel.lowest,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        style = "dashed" if len(steps) > 1 else "off"
        defaults["custom"] = {
            "lineWidth": 1,
            "fillOpacity": 8,
            "showPoints": "never",
            "thresholdsStyle": {"mode": style},
        }
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": [_target(place, panel.kind, *query) for place, query in enumerate(panel.queries)],
        **({"transformations": [_WITHOUT_TIME]} if panel.kind == "table" else {}),
    }


def _target(place: int, kind: str, query: str, legend: str) -> dict[str, Any]:
    now = {"instant": True, "range": False, "format": "table"} if kind == "table" else {"range": True}
    return {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": query, "legendFormat": legend, **now}


_WITHOUT_TIME: Final = {
    "id": "organize",
    "options": {"excludeByName": {"Time": True}, "renameByName": {"Value": "number"}},
}
_OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "textMode": "auto",
    },
    "table": {"showHeader": True},
}
