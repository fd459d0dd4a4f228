"""docs/telemetry.md, made from the metrics and the source of the events: `python -m runtime.telemetry_page`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from runtime import metrics

PAGE: Final = Path(__file__).parent.parent / "docs" / "telemetry.md"
EVENT_SOURCES: Final = sorted((Path(__file__).parent / "events").glob("*.py"))

_LEVELS: Final = ("debug", "info", "warning", "error")
_HEAD: Final = """# Telemetry

What a worker says of itself: health and metrics on its own port (`HEARTSTREAM_TELEMETRY__PORT`, 9100), log lines on
standard error. The gateway serves `/health` and `/metrics` beside `/predict`. Nothing here holds a patient's value or
id. `heartstream top` shows the metrics of one or more workers on a terminal.

![A request that cannot be scored, the gateway's metrics, and its log](pictures/telemetry.svg)

## Health

200 means yes, 503 means no; the body is JSON with every check and what is wrong. A thread of its own answers, so it
answers while scoring hangs.

| path | question | checks |
|---|---|---|
| `/health/startup` | has it come up? | the model is verified and proven, the consumer has started |
| `/health/live` | is it alive, or would a restart help? | see below |
| `/health/ready` | can it do its work? | those of `live`, and the five below |
| `/health` | all well? | as `ready` |

Ready is a live worker

- whose model is verified and proven;
- that is a member of its group, with partitions or, where there are more workers than partitions, without;
- whom a broker has answered within the last 30 s;
- whose producer is up and has what was started confirmed within 30 s;
- whose offset commits succeed: at least once, reading pauses when none has for more than two seconds.

Not live is a worker

- that has failed and is stopping;
- whose event loop has been busy with one thing for longer than `HEARTSTREAM_WORKER__STALL_SECONDS` (scoring hangs);
- whose consumer thread has not come round for a minute and `HEARTSTREAM_WORKER__DRAIN_SECONDS`;
- with a partition that has records to score and has stood still for twice the stall seconds, though the broker answers
  and no result is on its way to it.

While results of other partitions are on their way, each partition is judged by its own turn, by the thread that reads.
What is read first is scored and confirmed first; so a partition stands still if a later batch is confirmed before its
own, or if it is not read though the client ran dry or has brought a million records of another partition meanwhile.
Only the time in which that is so counts: a partition that waits behind a backlog and a slow model is never blamed.
After the stall seconds the thread fetches the partition anew (`heartstream_partition_stalls_total`); after as many
again, or at once where a batch was passed over, the process ends, as a restart helps.

A broker out of reach, slow output, an idle topic and a worker without partitions are live: a restart would not help.

## Alerts and dashboard

[compose/prometheus/alerts.yaml](../compose/prometheus/alerts.yaml) is the one source of the alert rules, tested beside
it. They look for standstill, growing lag, silent brokers, late scores, failing commits, many dead letters, models that
differ, records unlike the training patients ([drift](models.md#drift)), and a gateway that fails, is slow or turns
callers away. The [runbook](runbook.md) has a section for each: what it means, what to look at, what to do. No rule
knows a job's name: `heartstream_process_info` tells what an instance is.

Three objectives over 30 days, each with a page where the error budget burns fast and a ticket where it burns slowly:

| | of | at least |
|---|---|---|
| a record has its confirmed outcome within 1 s of its Kafka timestamp | records | 99% |
| `POST /predict` is answered within 0.1 s | requests | 99% |
| a request to score gets no status of 500 or above | requests | 99.9% |

[compose/grafana/heartstream.json](../compose/grafana/heartstream.json) is a dashboard for Grafana;
[compose](../compose/README.md) starts it with Prometheus.

![The dashboard: the broker is frozen from 0:45 to 1:15, a worker is gone from 2:00 to 2:45](pictures/dashboard.png)

The worker that owns a partition reports its lag. A partition without an owner has no lag metric: the alert
`HeartstreamPartitionsUnassigned` is for that. While no broker answers, the end of the partition is unknown: lag in
records stays as it was, and its age grows.
"""


class LogLine(msgspec.Struct, frozen=True):
    """One line that an event may write: its level, its text and the names of its fields."""

    level: str
    text: str
    fields: tuple[str, ...]


class EventEntry(msgspec.Struct, frozen=True):
    """What an event means, which lines it may write and which metrics it moves."""

    name: str
    meaning: str
    lines: tuple[LogLine, ...]
    metrics: tuple[str, ...]


_TRACES: Final = """## Traces

Off, unless `HEARTSTREAM_TRACING__ENDPOINT` names a collector that takes
[OTLP](https://opentelemetry.io/docs/specs/otlp/) over HTTP. The library is an extra,
`pip install 'heartstream[tracing]'`; the images have it.

```sh
HEARTSTREAM_TRACING__ENDPOINT=http://collector:4318
HEARTSTREAM_TRACING__SAMPLE_RATIO=0.01
```

- **A record** that has a W3C `traceparent` (and perhaps `tracestate`) among its Kafka headers goes on with that trace.
  Its span `process patients` begins with the scoring of its batch and ends when its outcome is confirmed; the score, or
  the dead letter, carries the span's context in the same headers. A dead letter that is sent back belongs to the same
  trace.
- **A request** with these headers has a span such as `POST /predict`, and in it `score` for each time that records were
  scored. Probes and scrapes have none.
- A trace context that comes along decides whether the record or request is sampled. Of the others the share
  `HEARTSTREAM_TRACING__SAMPLE_RATIO` begins a trace; by default none.
- At most `HEARTSTREAM_TRACING__SPANS_PER_SECOND` records or requests a second are traced: a producer that traces
  everything cannot slow scoring down. Without a span a score carries no context.
- Attributes are those of OpenTelemetry's conventions for Kafka and HTTP, and `heartstream.outcome`,
  `heartstream.fault_codes` and `heartstream.records`. Never a key, a path, a query, an address or an exception's text;
  `baggage` is not read.
- A collector that is slow or away loses spans and nothing else: they are sent by a thread of its own from a bounded
  queue, the trouble is told once, and `heartstream_trace_spans_total` shows how many ended and were not sent. At its
  end a process takes three seconds at most for the last of them.
- After a crash a score can come again with another span in its header; its value is the same.

OpenTelemetry's own variables say the rest: `OTEL_SERVICE_NAME` (`heartstream-worker` and `heartstream-gateway`),
`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_CERTIFICATE`, `OTEL_BSP_MAX_QUEUE_SIZE`. `OTEL_SDK_DISABLED=true`
switches traces off; nothing but the endpoint above switches them on. Credentials for the collector stand in the file
that `HEARTSTREAM_TRACING__HEADERS_FILE` names (`authorization=Bearer ...`). In Kubernetes, `k8s/components/tracing`
lets the pods reach the collector.
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
        "Beside these, `process_*` and `python_*` of the client library. A histogram has `_bucket`, `_sum`, `_count`.",
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


def _metric_row(metric: metrics.Described) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {_unit(metric.name)} | {labels} | {metric.meaning} |"


def _unit(name: str) -> str:
    """Read a metric's unit from its name, as the conventions have it."""
    words = name.removesuffix("_total").split("_")
    if "timestamp" in words:
        return "Unix time, seconds"
    return words[-1] if words[-1] in {"seconds", "bytes", "records", "batches", "partitions"} else ""


def _event_row(entry: EventEntry) -> str:
    told = "<br>".join(f"{line.level}: {line.text}" for line in entry.lines)
    fields = ", ".join(dict.fromkeys(f"`{field}`" for line in entry.lines for field in line.fields))
    moved = ", ".join(f"`{name}`" for name in entry.metrics)
    return f"| `{entry.name}` | {entry.meaning} | {told} | {fields} | {moved} |"


def event_entries() -> Iterator[EventEntry]:
    """Read every event class from the source of `runtime.events`, one component after the other."""
    for source in EVENT_SOURCES:
        for node in ast.parse(source.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                meaning = " ".join((ast.get_docstring(node) or "").split("\n\n", 1)[0].split())
                yield EventEntry(node.name, meaning, tuple(_log_lines(node)), tuple(dict.fromkeys(_moved(node))))


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


def _moved(event: ast.ClassDef) -> Iterator[str]:
    """Find the metrics that an event moves."""
    for node in ast.walk(event):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "metrics":
            metric = getattr(metrics, node.attr)
            yield from (described.name for described in metrics.DESCRIBED if described.metric is metric)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
    sys.stdout.write("wrote docs/telemetry.md\n")
