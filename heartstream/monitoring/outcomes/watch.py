"""Evaluates the topics once, or repeatedly."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version

import msgspec

from heartstream.monitoring.outcomes.calibration import CalibrationMetrics, OutcomesReport, evaluate_models
from heartstream.monitoring.outcomes.topics import TopicRanges, join_topics
from runtime import events, logs
from runtime.health import Health, TelemetryServer
from runtime.kafka.range_reader import Reader
from runtime.ports import port_of
from runtime.settings import Settings, Telemetry
from schemas.errors import DependencyError


class Query(msgspec.Struct, frozen=True):
    """How many of the newest outcomes to keep, and how many are in the window."""

    outcomes: int
    window: int


def evaluate(settings: Settings, query: Query) -> OutcomesReport:
    """Evaluate the topics as they are now. Raises DependencyError and SettingsError."""
    with Reader.open(settings) as reader:
        ranges = TopicRanges.of(reader, settings.topics)
        return evaluate_models(join_topics(reader, settings.topics, ranges, query.outcomes), query.window)


def follow(settings: Settings, query: Query, seconds: float, on_change: Callable[[OutcomesReport], None]) -> None:
    """Evaluate whenever there are new records, for ever; report changes, and export metrics.

    Raises what `evaluate` raises the first time; later, an unavailable broker is retried.
    """
    with _telemetry(settings.telemetry), Reader.open(settings) as reader:
        seen: TopicRanges | None = None
        report: OutcomesReport | None = None
        while True:
            try:
                ranges = TopicRanges.of(reader, settings.topics)
                if _has_changed(seen, ranges, report):
                    joined = join_topics(reader, settings.topics, ranges, query.outcomes)
                    seen, before, report = ranges, report, evaluate_models(joined, query.window)
                    export_metrics(report)
                    if report != before:
                        on_change(report)
            except DependencyError as error:
                if seen is None:
                    raise
                sys.stderr.write(f"heartstream: {error}; trying again\n")
            time.sleep(seconds)


def _has_changed(seen: TopicRanges | None, now: TopicRanges, report: OutcomesReport | None) -> bool:
    """Return whether there are new outcomes, or new scores for outcomes without one."""
    if seen is None or report is None or seen.outcomes != now.outcomes:
        return True
    return report.left_out.without_score > 0 and seen.scores != now.scores


def export_metrics(report: OutcomesReport) -> None:
    """Set the metrics."""
    shown = {
        (calibration.model.name, calibration.model.digest, window): _metrics(metrics)
        for calibration in report.models
        for window, metrics in (("all", calibration.all), ("last", calibration.last))
    }
    events.OutcomesEvaluated(shown, msgspec.structs.asdict(report.left_out)).emit()


def _metrics(metrics: CalibrationMetrics) -> dict[str, float | None]:
    ratio = metrics.observed_expected
    value, low, high = (None, None, None) if ratio is None else (ratio.value, ratio.low, ratio.high)
    return {
        "outcomes": metrics.outcomes,
        "ratio": value,
        "ratio_low": low,
        "ratio_high": high,
        "brier": metrics.brier,
        "constant_brier": metrics.constant_brier,
        "intercept": None if metrics.intercept is None else metrics.intercept.value,
        "roc_auc": metrics.roc_auc,
    }


@contextmanager
def _telemetry(telemetry: Telemetry) -> Iterator[None]:
    """Serve metrics and health within the context. Raises DependencyError if the port is in use."""
    logs.configure(telemetry)
    with port_of("HEARTSTREAM_TELEMETRY__PORT", telemetry.host, telemetry.port):
        server = TelemetryServer(telemetry.host, telemetry.port, Health({}, {}))
    events.ProcessStarted("outcomes", version("heartstream")).emit()
    try:
        yield
    finally:
        server.close()
