"""docs/telemetry.md, generated from the metrics and the source of the events."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import msgspec

from runtime import metrics

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "telemetry.md"
EVENT_SOURCES: Final = sorted((Path(__file__).parent.parent / "events").glob("*.py"))

_LEVELS: Final = ("debug", "info", "warning", "error")
_HEAD: Final = """# Telemetry

A worker serves health and metrics on a separate port (`HEARTSTREAM_TELEMETRY__PORT`, 9100) and writes log lines to
standard error. The gateway serves `/health` and `/metrics` beside `/predict`. Telemetry contains no patient values or
ids. `heartstream top` shows the metrics of one or more workers in a terminal.

![A request that cannot be scored, the gateway's metrics, and its log](pictures/telemetry.svg)

## Health

Status 200 means healthy, 503 unhealthy; the JSON body lists every check and its problem. A separate thread answers, so
probes work even while scoring hangs.

| path | question | checks |
|---|---|---|
| `/health/startup` | has it started? | the model is verified and self-checked, the consumer has started |
| `/health/live` | is it alive, or would a restart help? | see below |
| `/health/ready` | can it do its work? | those of `live`, and the five below |
| `/health` | is everything healthy? | as `ready` |

A live worker is ready if

- its model is verified and self-checked;
- it is a member of its group, with partitions or, if there are more workers than partitions, without;
- a broker has answered it within the last 30 s;
- its producer is up and gets results confirmed within 30 s;
- its offset commits succeed (at least once: consumption pauses when none has succeeded for more than two seconds).

A worker is not live if

- it has failed and is stopping;
- its event loop has been blocked for longer than `HEARTSTREAM_WORKER__STALL_SECONDS` (scoring hangs);
- its consumer thread's loop has made no iteration for a minute plus `HEARTSTREAM_WORKER__DRAIN_SECONDS`;
- a partition with records to score has made no progress for twice the stall timeout, although the broker answers and
  none of its results are in flight.

While results of other partitions are in flight, the consumer thread checks for each partition whether its turn has
passed. Records read first are scored and confirmed first. So a partition is stalled if a later batch is confirmed
before its own, or if it is not read although the client's queue was empty or the client has delivered a million records
of another partition meanwhile. Only the time during which this is so counts: waiting behind a backlog and a slow model
is never a stall. After the stall timeout the thread refetches the partition (`heartstream_partition_stalls_total`).
After another stall timeout, or at once if a batch was skipped, the process exits, because a restart helps.

An unreachable broker, slow output, an idle topic or having no partitions do not make a worker fail liveness: a restart
would not help.

## Alerts and dashboard

[compose/prometheus/alerts.yaml](../compose/prometheus/alerts.yaml) is the single source of the alert rules; their tests
are next to it. They detect stalls, growing lag, unreachable brokers, late scores, failing commits, many dead letters,
differing models, records unlike the training patients ([drift](models.md#drift)), and a gateway that fails, is slow or
rejects callers. The [runbook](runbook.md) has a section for each: what it means, what to look at, what to do. Rules do
not depend on job names: `heartstream_process_info` gives an instance's role.

There are three service level objectives over 30 days. Each pages when the error budget burns fast and opens a ticket
when it burns slowly:

| | of | at least |
|---|---|---|
| a record has its confirmed outcome within 1 s of its Kafka timestamp | records | 99% |
| `POST /predict` is answered within 0.1 s | requests | 99% |
| a request to score gets no status of 500 or above | requests | 99.9% |

[compose/grafana/heartstream.json](../compose/grafana/heartstream.json) is a dashboard for Grafana;
[compose](../compose/README.md) starts it with Prometheus. Its first screen has the golden signals, a column for each:
traffic, errors, latency and saturation, of the stream and below of the gateway. The other rows follow: alerts and
models, stream, drift, outcomes, challenger, gateway, processes.

![The golden signals of an undisturbed run, in which 1% of the records are rejected](pictures/dashboard.png)

The same screen with two faults: the broker is frozen from 0:45 to 1:15, and a worker is down from 2:00 to 2:45.

![Lag and latency rise while the broker is frozen, and when the worker is gone](pictures/dashboard-faults.png)

The worker that owns a partition reports its lag. A partition without an owner has no lag metric; the alert
`HeartstreamPartitionsUnassigned` covers that case. While no broker answers, the end of the partition is unknown: lag in
records keeps its last value, and lag in seconds grows.
"""


class LogLine(msgspec.Struct, frozen=True):
    """One line that an event may write: its level, its text and the names of its fields."""

    level: str
    text: str
    fields: tuple[str, ...]


class EventEntry(msgspec.Struct, frozen=True):
    """What an event means, which lines it may write and which metrics it updates."""

    name: str
    meaning: str
    lines: tuple[LogLine, ...]
    metrics: tuple[str, ...]


_TRACES: Final = """## Traces

Tracing is off unless `HEARTSTREAM_TRACING__ENDPOINT` names a collector that accepts
[OTLP](https://opentelemetry.io/docs/specs/otlp/) over HTTP. It needs the
[extra](installing.md#extras) `tracing`, which the images include.

```sh
HEARTSTREAM_TRACING__ENDPOINT=http://collector:4318
HEARTSTREAM_TRACING__SAMPLE_RATIO=0.01
```

- **A record** with a W3C `traceparent` (and optionally `tracestate`) in its Kafka headers continues that trace. Its
  span `process patients` starts when its batch is scored and ends when its outcome is confirmed. The score or dead
  letter carries the span's context in the same headers. A redriven dead letter belongs to the same trace.
- **A request** with these headers has a span such as `POST /predict`, with a child span `score` each time that records
  are scored. Probes and scrapes have no spans.
- An incoming trace context decides whether the record or request is sampled. Of the others, the share
  `HEARTSTREAM_TRACING__SAMPLE_RATIO` starts a trace; by default none.
- At most `HEARTSTREAM_TRACING__SPANS_PER_SECOND` records or requests per second are traced, so a producer that traces
  everything cannot slow down scoring. Without a span, a score carries no context.
- Attributes follow OpenTelemetry's semantic conventions for Kafka and HTTP, plus `heartstream.outcome`,
  `heartstream.rejection_codes` and `heartstream.records`. They never contain a key, a path, a query, an address or an
  exception's text; `baggage` is not read.
- A slow or unreachable collector loses spans and nothing else. A separate thread sends them from a bounded queue, the
  problem is logged once, and `heartstream_trace_spans_total` shows how many ended and were not sent. On shutdown, a
  process spends at most three seconds on sending the rest.
- After a crash, a score can be produced again with another span in its header; its value is the same.

OpenTelemetry's own variables configure the rest: `OTEL_SERVICE_NAME` (`heartstream-worker` and `heartstream-gateway`),
`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_CERTIFICATE`, `OTEL_BSP_MAX_QUEUE_SIZE`. `OTEL_SDK_DISABLED=true`
disables tracing; only the endpoint above enables it. Put credentials for the collector in the file named by
`HEARTSTREAM_TRACING__HEADERS_FILE` (`authorization=Bearer ...`). In Kubernetes, `k8s/components/tracing` lets the pods
reach the collector.
"""


def render() -> str:
    """Return the page."""
    lines = [
        _HEAD,
        _TRACES,
        "## Metrics\n",
        "| metric | type | unit | labels | meaning |",
        "|---|---|---|---|---|",
        *(_metric_row(metric) for metric in metrics.DESCRIBED),
        "",
        "The client library adds `process_*` and `python_*`. A histogram has `_bucket`, `_sum` and `_count`.",
        "",
        "## Events\n",
        "Each is a class in `runtime/events/`. A log line is JSON with `event` (the text), `level` and `timestamp`.",
        "",
        "| event | when | level and text | fields | metrics |",
        "|---|---|---|---|---|",
        *(_event_row(entry) for entry in event_entries()),
        "",
    ]
    return "\n".join(lines)


def _metric_row(metric: metrics.MetricDescription) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {_unit(metric.name)} | {labels} | {metric.meaning} |"


def _unit(name: str) -> str:
    """Derive a metric's unit from its name, as the conventions define."""
    words = name.removesuffix("_total").split("_")
    if "timestamp" in words:
        return "Unix time, seconds"
    return words[-1] if words[-1] in {"seconds", "bytes", "records", "batches", "partitions"} else ""


def _event_row(entry: EventEntry) -> str:
    logged = "<br>".join(f"{line.level}: {line.text}" for line in entry.lines)
    fields = ", ".join(dict.fromkeys(f"`{field}`" for line in entry.lines for field in line.fields))
    updated = ", ".join(f"`{name}`" for name in entry.metrics)
    return f"| `{entry.name}` | {entry.meaning} | {logged} | {fields} | {updated} |"


def event_entries() -> Iterator[EventEntry]:
    """Yield every event class of `runtime.events`, by component, as documented in its source."""
    for source in EVENT_SOURCES:
        module = importlib.import_module(f"runtime.events.{source.stem}")
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                meaning = " ".join((ast.get_docstring(node) or "").split("\n\n", 1)[0].split())
                yield EventEntry(
                    node.name, meaning, tuple(_log_lines(node)), tuple(dict.fromkeys(_updated_metrics(node, module)))
                )


def _log_lines(event: ast.ClassDef) -> Iterator[LogLine]:
    """Find the calls that write a line: on the module's logger, or on one to which fields are bound."""
    calls = [(node, node.func) for node in ast.walk(event) if isinstance(node, ast.Call)]
    methods = [(call, function) for call, function in calls if isinstance(function, ast.Attribute)]
    bound = [name for call, function in methods if function.attr == "bind" for name in _names(call)]
    for call, function in methods:
        if function.attr in _LEVELS and call.args and isinstance(call.args[0], ast.Constant):
            fields = (*bound, *_names(call))
            yield LogLine(function.attr, str(call.args[0].value), fields)


def _names(call: ast.Call) -> list[str]:
    return [keyword.arg.replace("exc_info", "exception") for keyword in call.keywords if keyword.arg]


def _updated_metrics(event: ast.ClassDef, module: ModuleType) -> Iterator[str]:
    """Yield the metrics that an event updates: attributes of the modules of `runtime.metrics` that its own imports."""
    for node in ast.walk(event):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            component = getattr(module, node.value.id, None)
            if isinstance(component, ModuleType) and component.__name__.startswith("runtime.metrics."):
                metric = getattr(component, node.attr)
                yield from (described.name for described in metrics.DESCRIBED if described.metric is metric)
