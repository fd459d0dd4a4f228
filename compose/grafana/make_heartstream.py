"""Writes compose/grafana/heartstream.json, the dashboard: `python compose/grafana/make_heartstream.py`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

DASHBOARD: Final = Path(__file__).parent / "heartstream.json"
_COLUMNS: Final = 24
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_RATE: Final = "[$__rate_interval]"
_WORKERS: Final = 'and on (instance) heartstream_process_info{role="worker"}'
_WITHOUT_CHALLENGERS: Final = 'unless on (instance) heartstream_process_info{role="shadow"}'
_WITH_ROLE: Final = "* on (instance) group_left (role) max by (instance, role) (heartstream_process_info)"
_OF_STREAM: Final = f'sum(rate(heartstream_records_total{{interface="kafka"}}{_RATE}))'
_SEEN: Final = f"sum(rate(heartstream_shadow_records_total{_RATE}))"
_COMPARED: Final = f'sum(rate(heartstream_shadow_records_total{{outcome!="one_alone"}}{_RATE}))'

Thresholds = Sequence[tuple[float | None, str]]


class Panel(msgspec.Struct, frozen=True):
    """A panel: each query with its legend. `thresholds` are the values from which on a colour holds.

    `lowest` is where the axis begins, None where values may be below zero.
    """

    title: str
    meaning: str
    unit: str
    queries: Sequence[tuple[str, str]]
    thresholds: Thresholds = ((None, "green"),)
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    lowest: float | None = 0


class Row(msgspec.Struct, frozen=True):
    """Panels under one heading, side by side as far as there is room."""

    title: str
    panels: Sequence[Panel]


def _quantiles(buckets: str, selector: str = "", by: str = "", whose: str = "") -> list[tuple[str, str]]:
    """Ask for the median and the 99th percentile of a histogram, for each value of a label."""
    labels, legend = (f"le, {by}", f" {{{{{by}}}}}") if by else ("le", "")
    summed = f"sum by ({labels}) (rate({buckets}_bucket{selector}{_RATE}){whose})"
    return [
        (f"histogram_quantile({share}, {summed})", f"{name}{legend}") for share, name in ((0.5, "p50"), (0.99, "p99"))
    ]


def _mean(histogram: str, by: str) -> str:
    total, count = (f"sum by ({by}) (rate({histogram}_{part}{_RATE}))" for part in ("sum", "count"))
    return f"{total} / {count}"


def _stat(title: str, meaning: str, unit: str, thresholds: Thresholds, *queries: tuple[str, str]) -> Panel:
    return Panel(title, meaning, unit, queries, thresholds, kind="stat", width=4, height=4)


def _difference(direction: str) -> str:
    return f'sum(rate(heartstream_shadow_risk_difference_total{{direction="{direction}"}}{_RATE}))'


def _drift(title: str, meaning: str, asked: tuple[str, str, float]) -> Panel:
    """Show the largest difference of any process: `asked` is the metric, its label, and where an alert fires."""
    metric, label, limit = asked
    query, thresholds = f"max by ({label}) (abs({metric}))", ((None, "green"), (limit, "red"))
    return Panel(title, f"{meaning} Above {limit} an alert fires.", "short", [(query, f"{{{{{label}}}}}")], thresholds)


WELL: Final = (
    _stat(
        "Processes",
        "Workers and gateways that can be scraped.",
        "short",
        ((None, "red"), (1, "green")),
        ("count by (role) (heartstream_process_info)", "{{role}}"),
    ),
    _stat(
        "Partitions read",
        "Partitions that have an owner. The lag of one without is not measured.",
        "short",
        ((None, "red"), (1, "green")),
        (f"sum(heartstream_assigned_partitions {_WORKERS})", "partitions"),
    ),
    _stat(
        "Records a second",
        "Records that got their outcome, through all interfaces.",
        "short",
        ((None, "blue"),),
        (f"sum(rate(heartstream_records_total{_RATE}))", "records"),
    ),
    _stat(
        "Oldest record that waits",
        "Age of the oldest record without a confirmed outcome. Above a minute for long, an alert fires.",
        "s",
        ((None, "green"), (10, "yellow"), (60, "red")),
        (f"max(heartstream_consumer_lag_seconds {_WORKERS})", "age"),
    ),
    _stat(
        "End to end, p99",
        "99 of 100 records have their confirmed outcome within this time of their Kafka timestamp. Objective: 1 s.",
        "s",
        ((None, "green"), (0.5, "yellow"), (1, "red")),
        (_quantiles("heartstream_end_to_end_latency_seconds")[1][0], "p99"),
    ),
    _stat(
        "Error budgets, last hour",
        "How fast the budgets of the objectives burn: 1 spends one in 30 days. A page comes at 14.4.",
        "short",
        ((None, "green"), (1, "yellow"), (14.4, "red")),
        ("heartstream:stream_slow:burn_rate1h", "stream slow"),
        ("heartstream:gateway_slow:burn_rate1h", "gateway slow"),
        ("heartstream:gateway_fails:burn_rate1h", "gateway fails"),
    ),
    Panel(
        "Alerts that fire",
        "docs/runbook.md has a section for each. Empty is well.",
        "short",
        [('count by (alertname, severity) (ALERTS{alertname=~"Heartstream.*",alertstate="firing"})', "")],
        kind="table",
        width=8,
        height=5,
    ),
    Panel(
        "Models that are served",
        "Processes by model, without challengers. Two digests for longer than a rollout are an alert.",
        "short",
        [
            (
                f"count by (name, version, digest, engine) (heartstream_model_info {_WITHOUT_CHALLENGERS})",
                "",
            )
        ],
        kind="table",
        width=8,
        height=5,
    ),
    Panel(
        "Models that came",
        "Swapped in, refused, or withdrawn while on trial; and how many processes refuse what is to be served now.",
        "short",
        [
            ("sum by (outcome) (increase(heartstream_model_changes_total[$__rate_interval]))", "{{outcome}}"),
            ("sum(heartstream_model_refused)", "refuse now"),
        ],
        height=5,
    ),
)

STREAM: Final = (
    Panel(
        "Records a second",
        "Records that got their outcome, by interface and outcome.",
        "short",
        [(f"sum by (interface, outcome) (rate(heartstream_records_total{_RATE}))", "{{interface}} {{outcome}}")],
    ),
    Panel(
        "Lag in records",
        "Records of a partition without a confirmed outcome. A partition without an owner has no line.",
        "short",
        [(f"max by (topic, partition) (heartstream_consumer_lag_records {_WORKERS})", "{{topic}} {{partition}}")],
    ),
    Panel(
        "Lag in seconds",
        "Age of a partition's oldest record without a confirmed outcome.",
        "s",
        [(f"max by (topic, partition) (heartstream_consumer_lag_seconds {_WORKERS})", "{{topic}} {{partition}}")],
        ((None, "green"), (60, "red")),
    ),
    Panel(
        "End-to-end latency",
        "From a record's Kafka timestamp to its confirmed outcome. Objective: 99 of 100 within 1 s.",
        "s",
        _quantiles("heartstream_end_to_end_latency_seconds"),
        ((None, "green"), (1, "red")),
    ),
    Panel(
        "Records a batch",
        "Mean number of records scored at once.",
        "short",
        [(_mean("heartstream_batch_records", "interface"), "{{interface}}")],
    ),
    Panel(
        "Time to score a batch",
        "Decode, validate, score and encode.",
        "s",
        _quantiles("heartstream_batch_duration_seconds", by="interface"),
    ),
    Panel(
        "Time to confirm a batch",
        "From taking it up until the broker has confirmed all its results.",
        "s",
        _quantiles("heartstream_delivery_duration_seconds", whose=f" {_WORKERS}"),
        ((None, "green"), (5, "red")),
    ),
    Panel(
        "Records under way",
        "Being scored, or waiting for the broker's confirmation. Reading pauses at "
        "HEARTSTREAM_WORKER__IN_FLIGHT_MAX_RECORDS.",
        "short",
        [(f"heartstream_in_flight_records {_WORKERS}", "{{instance}}")],
    ),
    Panel(
        "Dead letters a second",
        "Confirmed dead letters by the first thing that was wrong: docs/dead-letters.md explains the codes.",
        "short",
        [(f"sum by (code) (rate(heartstream_dead_letters_total{_RATE}))", "{{code}}")],
    ),
    Panel(
        "Commits a second",
        "Offset commits by what became of them.",
        "short",
        [(f"sum by (result) (rate(heartstream_commits_total{_RATE}) {_WORKERS})", "{{result}}")],
    ),
    Panel(
        "Rebalances and repairs",
        "Changes of assignments; stalled partitions whose fetching was restarted; clients replaced.",
        "short",
        [
            (f"sum by (kind) (increase(heartstream_rebalances_total{_RATE}) {_WORKERS})", "{{kind}}"),
            (f"sum(increase(heartstream_partition_stalls_total{_RATE}) {_WORKERS})", "stalled"),
            (f"sum(increase(heartstream_producer_replacements_total{_RATE}) {_WORKERS})", "producer replaced"),
            (f"sum(increase(heartstream_consumer_replacements_total{_RATE}) {_WORKERS})", "consumer replaced"),
        ],
    ),
    Panel(
        "Partitions by worker",
        "Partitions that each worker reads, and workers whose fetching is paused, by reason.",
        "short",
        [
            (f"heartstream_assigned_partitions {_WORKERS}", "{{instance}}"),
            (f"sum by (reason) (heartstream_consumption_paused {_WORKERS})", "paused: {{reason}}"),
        ],
    ),
    Panel(
        "Time since progress",
        "Since a worker's last confirmed batch. On an idle topic it grows and is no trouble.",
        "s",
        [("time() - (heartstream_last_progress_timestamp_seconds > 0)", "{{instance}}")],
        width=12,
    ),
    Panel(
        "Time since the broker answered",
        "It is asked every second. Above 60 s an alert fires.",
        "s",
        [("time() - (heartstream_broker_last_answer_timestamp_seconds > 0)", "{{instance}}")],
        ((None, "green"), (60, "red")),
        width=12,
    ),
)

DRIFT: Final = (
    _drift(
        "Values, PSI",
        "How a field's measured values differ from those of the training rows.",
        ("heartstream_drift_psi", "field", 0.25),
    ),
    _drift(
        "Missing, difference",
        "How far the share of records without the field is from that of the training rows.",
        ("heartstream_drift_missing_share_difference", "field", 0.2),
    ),
    _drift(
        "Out of the training range",
        "Share of a field's measured values below or above all of the training rows.",
        ("heartstream_drift_out_of_range_share", "field", 0.05),
    ),
    _drift(
        "Risks, PSI",
        "How risks differ from those that the model gave to training rows.",
        ("heartstream_drift_score_psi", "model", 0.25),
    ),
    Panel(
        "Records compared",
        "Records in the window of each process. Nothing is told of fewer than 200; 0: not watched.",
        "short",
        [("heartstream_drift_window_records", "{{instance}}")],
        width=12,
    ),
)

_BY_MODEL: Final = "{{model}} {{digest}} {{window}}"
OUTCOMES: Final = (
    Panel(
        "Observed over expected",
        "Share of patients with disease over their mean risk, with its 95% interval: 1 is right. heartstream outcomes "
        "--follow tells it.",
        "short",
        [
            ("heartstream_outcomes_observed_expected_ratio", _BY_MODEL),
            ("heartstream_outcomes_observed_expected_ratio_low", f"{_BY_MODEL} low"),
            ("heartstream_outcomes_observed_expected_ratio_high", f"{_BY_MODEL} high"),
        ],
        width=12,
        height=8,
    ),
    Panel(
        "Brier score",
        "Of risks, and of saying the same share of everybody: the risks' must be lower.",
        "short",
        [
            ("heartstream_outcomes_brier_score", _BY_MODEL),
            ("heartstream_outcomes_baseline_brier_score", f"{_BY_MODEL} constant"),
        ],
        width=12,
        height=8,
    ),
    Panel(
        "Calibration and ranks",
        "What log-odds are too low by: 0 is right. ROC-AUC: 0.5 is chance.",
        "short",
        [
            ("heartstream_outcomes_calibration_intercept", f"{_BY_MODEL} intercept"),
            ("heartstream_outcomes_roc_auc", f"{_BY_MODEL} ROC-AUC"),
        ],
        width=12,
        height=8,
        lowest=None,
    ),
    Panel(
        "Known outcomes",
        "Those that belong to a score, and those that do not count, by why.",
        "short",
        [("heartstream_outcomes_evaluated", _BY_MODEL), ("heartstream_outcomes_excluded", "{{reason}}")],
        width=12,
        height=8,
    ),
)

GATEWAY: Final = (
    Panel(
        "Requests a second by status",
        "499: the client disconnected. 503 of /health/ready: it is shutting down, or its model failed its self-check.",
        "short",
        [(f"sum by (status) (rate(heartstream_http_requests_total{_RATE}))", "{{status}}")],
        width=6,
    ),
    Panel(
        "Requests a second by route",
        "Every resource of the gateway.",
        "short",
        [(f"sum by (route) (rate(heartstream_http_requests_total{_RATE}))", "{{route}}")],
        width=6,
    ),
    Panel(
        "Time to answer POST /predict",
        "Objective: 99 of 100 within 0.1 s.",
        "s",
        _quantiles("heartstream_http_request_duration_seconds", '{route="/predict"}'),
        ((None, "green"), (0.1, "red")),
        width=6,
    ),
    Panel(
        "Rejection reasons per second over HTTP",
        "Validation issues of records sent over HTTP, by code. A record may have several.",
        "short",
        [(f'sum by (code) (rate(heartstream_record_errors_total{{interface="http"}}{_RATE}))', "{{code}}")],
        width=6,
    ),
)

PROCESSES: Final = (
    Panel(
        "CPU",
        "Share of one core.",
        "percentunit",
        [(f"rate(process_cpu_seconds_total{_RATE}) {_WITH_ROLE}", "{{role}} {{instance}}")],
        width=6,
    ),
    Panel(
        "Memory",
        "Resident memory.",
        "bytes",
        [(f"process_resident_memory_bytes {_WITH_ROLE}", "{{role}} {{instance}}")],
        width=6,
    ),
    Panel(
        "Uptime",
        "A line that falls to zero is a restart.",
        "s",
        [(f"(time() - process_start_time_seconds) {_WITH_ROLE}", "{{role}} {{instance}}")],
        width=6,
    ),
    Panel(
        "Trace spans a second",
        "What ended and was not sent is lost. All are 0 where nothing is traced.",
        "short",
        [(f"sum by (outcome) (rate(heartstream_trace_spans_total{_RATE}))", "{{outcome}}")],
        width=6,
    ),
)

CHALLENGER: Final = (
    Panel(
        "Labels of champion and challenger",
        "Records a second that both have seen: the same label, another one, or a score of one alone.",
        "short",
        [(f"sum by (outcome) (rate(heartstream_shadow_records_total{_RATE}))", "{{outcome}}")],
    ),
    Panel(
        "Challenger's risk less champion's",
        "Mean absolute difference, and mean difference: the gap between what both expect.",
        "short",
        [
            (f"sum(rate(heartstream_shadow_risk_difference_total{_RATE})) / {_COMPARED}", "absolute"),
            (f"({_difference('higher')} - {_difference('lower')}) / {_COMPARED}", "mean"),
        ],
    ),
    Panel(
        "Cost of a record",
        "Seconds that scoring a record takes, by model.",
        "s",
        [
            (
                f"sum by (model) (rate(heartstream_shadow_scoring_seconds_total{_RATE})) / scalar({_SEEN})",
                "{{model}}",
            )
        ],
    ),
    Panel(
        "Share of the canary",
        "Of the records of the stream, those that the canary answered for.",
        "percentunit",
        [
            (
                f"sum(rate(heartstream_canary_records_total{_RATE})) / {_OF_STREAM}",
                "share",
            )
        ],
        width=12,
    ),
    Panel(
        "Workers with the canary",
        "By model; and those that have refused or withdrawn it, whose log says why.",
        "short",
        [
            ("count by (name, version, digest) (heartstream_canary_info)", "{{name}} {{version}} {{digest}}"),
            ("sum(heartstream_canary_refused)", "without it"),
        ],
        width=12,
    ),
)

ROWS: Final = (
    Row("Is it well?", WELL),
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
    """Yield all panels, each where there is room for it, rows one below the other."""
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


if __name__ == "__main__":
    DASHBOARD.write_text(render(), encoding="utf-8")
    sys.stdout.write("wrote compose/grafana/heartstream.json\n")
