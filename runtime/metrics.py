"""All metrics, named by Prometheus' conventions: base units, `_total` for counters, few labels.

A label's values are a small, closed set: interfaces, outcomes, rejection codes, routes, assigned partitions. Events
(`runtime.events`) update the metrics. This module is the only importer of prometheus_client.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

M = TypeVar("M")


class Described(msgspec.Struct, frozen=True):
    """A metric as its page tells it; `name` is the one that Prometheus sees."""

    metric: object
    name: str
    kind: str
    meaning: str
    labels: tuple[str, ...]


class Sample(msgspec.Struct, frozen=True):
    """One number that a process shows, as it was read from the text format."""

    name: str
    labels: dict[str, str]
    value: float


class SpreadHistogram(Collector):
    """A histogram that takes a whole batch in one call, its values lying evenly between two that are known.

    To ask each record for its time would cost more than to score it. prometheus_client can observe one value at a time
    only.
    """

    def __init__(self, name: str, meaning: str, buckets: Sequence[float]) -> None:
        self._name, self._meaning = name, meaning
        self._bounds = (*map(float, buckets), math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, low: float, high: float, count: int) -> None:
        """Count `count` values from `low` to `high`."""
        counted = 0
        with self._lock:
            self._sum += count * (low + high) / 2
            for place in range(bisect_left(self._bounds, low), len(self._bounds)):
                bound = self._bounds[place]
                below = count if bound >= high else round(count * (bound - low) / (high - low))
                self._counts[place] += below - counted
                counted = below
                if counted == count:
                    return

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Show the counts, each bucket with all that lie below it."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        buckets, below = [], 0
        for bound, count in zip(self._bounds, counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == math.inf else str(bound), float(below)))
        yield HistogramMetricFamily(self._name, self._meaning, buckets=buckets, sum_value=total)


DESCRIBED: Final[list[Described]] = []
"""All metrics of this module, in order."""


def _described(metric: M, name: str, kind: str, meaning: str, labels: tuple[str, ...] = ()) -> M:
    DESCRIBED.append(Described(metric, name, kind, meaning, labels))
    return metric


def _counter(name: str, meaning: str, *labels: str) -> Counter:
    return _described(Counter(name, meaning, labels), f"{name}_total", "counter", meaning, labels)


def _counter_of(name: str, meaning: str, label: str, *values: str) -> Counter:
    """Count by a label, with a zero for each value from the start: Prometheus sees no increase in a new number."""
    counter = _counter(name, meaning, label)
    for value in values:
        counter.labels(value)
    return counter


def _gauge(name: str, meaning: str, *labels: str) -> Gauge:
    return _described(Gauge(name, meaning, labels), name, "gauge", meaning, labels)


def _histogram(name: str, meaning: str, buckets: Sequence[float], *labels: str) -> Histogram:
    return _described(Histogram(name, meaning, labels, buckets=buckets), name, "histogram", meaning, labels)


def _spread_histogram(name: str, meaning: str, buckets: Sequence[float]) -> SpreadHistogram:
    histogram = SpreadHistogram(name, meaning, buckets)
    REGISTRY.register(histogram)
    return _described(histogram, name, "histogram", meaning)


# The time at which each counter was made: twice as many lines, and nobody reads them.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations

PROCESS: Final = _gauge(
    "heartstream_process_info",
    "What this process is: worker, gateway, shadow or outcomes; the value is 1.",
    "role",
    "version",
)
RECORDS: Final = _counter(
    "heartstream_records", "Records processed, by outcome: scored or rejected.", "interface", "outcome"
)
RECORD_ERRORS: Final = _counter(
    "heartstream_record_errors", "Errors of rejected records, by code.", "interface", "code"
)
DEAD_LETTERS: Final = _counter(
    "heartstream_dead_letters",
    "Dead letters confirmed by the broker, by the first error of the record.",
    "code",
)
BATCH_RECORDS: Final = _histogram(
    "heartstream_batch_records", "Records scored in one batch.", (1, 4, 16, 64, 256, 1024, 4096, 16_384), "interface"
)
BATCH_SECONDS: Final = _histogram(
    "heartstream_batch_duration_seconds",
    "Time to decode, validate, score and encode a batch.",
    (0.00005, 0.0002, 0.001, 0.005, 0.02, 0.1, 0.5, 2.5),
    "interface",
)
DELIVERY_SECONDS: Final = _histogram(
    "heartstream_delivery_duration_seconds",
    "Time from the start of a batch until the broker has confirmed all its results.",
    (0.002, 0.01, 0.05, 0.2, 1, 5, 30, 120),
)
LATENCY_SECONDS: Final = _spread_histogram(
    "heartstream_end_to_end_latency_seconds",
    "Time from a record's Kafka timestamp until its outcome was confirmed. Only the first and the last record of a "
    "batch are measured; the others are interpolated evenly. The clocks of producers and workers must agree.",
    (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
IN_FLIGHT_BATCHES: Final = _gauge(
    "heartstream_in_flight_batches", "Batches being scored or waiting for confirmation. Updated every second."
)
IN_FLIGHT_RECORDS: Final = _gauge("heartstream_in_flight_records", "Records being scored or waiting for confirmation.")
COMMITS: Final = _counter_of(
    "heartstream_commits",
    "Offset commits by result: stored, failed, or aborted with their transaction.",
    "result",
    "stored",
    "failed",
    "aborted",
)
PRODUCER_REPLACEMENTS: Final = _counter(
    "heartstream_producer_replacements",
    "Transactional producer clients replaced (exactly once only): a call did not return or was slow, or a record was "
    "refused.",
)
CONSUMER_REPLACEMENTS: Final = _counter(
    "heartstream_consumer_replacements",
    "Consumer clients replaced: without group or broker for a minute, or rejected by the group for 10 s.",
)
PAUSED: Final = _gauge(
    "heartstream_consumption_paused",
    "Whether consumption is paused (1) or not (0), by reason: output, results are sent more slowly than records "
    "arrive; commits, no offset commit has succeeded for more than two seconds (at least once only).",
    "reason",
)
PARTITIONS: Final = _gauge("heartstream_assigned_partitions", "Partitions assigned to this worker.")
REBALANCES: Final = _counter_of(
    "heartstream_rebalances",
    "Rebalances by kind: partitions assigned, revoked or lost.",
    "kind",
    "assigned",
    "revoked",
    "lost",
)
LAG_RECORDS: Final = _gauge(
    "heartstream_consumer_lag_records",
    "Records of a partition, up to its end, without a confirmed outcome. Updated every second.",
    "topic",
    "partition",
)
LAG_SECONDS: Final = _gauge(
    "heartstream_consumer_lag_seconds",
    "Age of the oldest record of a partition without a confirmed outcome, by its Kafka timestamp; 0 without lag. Until "
    "that record is fetched: the time since it was first seen.",
    "topic",
    "partition",
)
STALLS: Final = _counter(
    "heartstream_partition_stalls", "Partitions refetched because they were stalled although the broker answers."
)
PROGRESS: Final = _gauge(
    "heartstream_last_progress_timestamp_seconds", "When a batch was last confirmed (Unix time; 0: never)."
)
BROKER_ANSWER: Final = _gauge(
    "heartstream_broker_last_answer_timestamp_seconds",
    "When a broker last answered the request for offsets or metadata sent every second (Unix time; 0: never).",
)
MODEL: Final = _gauge(
    "heartstream_model_info", "The model in use; the value is 1.", "name", "version", "digest", "engine"
)
MODEL_CHANGES: Final = _counter_of(
    "heartstream_model_changes",
    "Candidate models by result: swapped (in use), refused, or withdrawn while on trial (the previous model is in use "
    "again).",
    "outcome",
    "swapped",
    "refused",
    "withdrawn",
)
MODEL_REFUSED: Final = _gauge(
    "heartstream_model_refused", "Whether the candidate model is refused and another model is in use (1) or not (0)."
)
CANARY: Final = _gauge(
    "heartstream_canary_info",
    "The challenger that scores some of the keys; the value is 1. Absent after it was refused or withdrawn.",
    "name",
    "version",
    "digest",
)
CANARY_REFUSED: Final = _gauge(
    "heartstream_canary_refused",
    "Whether the canary was refused or withdrawn since the process started (1) or not (0).",
)
CANARY_RECORDS: Final = _counter_of(
    "heartstream_canary_records",
    "Records processed by the canary, by outcome; heartstream_records_total includes them.",
    "outcome",
    "scored",
    "rejected",
)
SHADOW_RECORDS: Final = _counter_of(
    "heartstream_shadow_records",
    "Records processed by both champion and challenger: same label, other label, or scored by only one of them.",
    "outcome",
    "same_label",
    "other_label",
    "one_alone",
)
SHADOW_DIFFERENCE: Final = _counter_of(
    "heartstream_shadow_risk_difference",
    "Sum of the amounts by which the challenger's risks are above (higher) and below (lower) the champion's. Divided "
    "by records, higher plus lower is the mean absolute difference, higher minus lower the calibration gap.",
    "direction",
    "higher",
    "lower",
)
SHADOW_SECONDS: Final = _counter_of(
    "heartstream_shadow_scoring_seconds", "Time spent scoring, by model.", "model", "champion", "challenger"
)
DRIFT_RECORDS: Final = _gauge(
    "heartstream_drift_window_records",
    "Records in the window compared with the training rows; 0: drift is not monitored. All drift metrics are updated "
    "every ten seconds; the others need 200 records.",
)
DRIFT_PSI: Final = _gauge(
    "heartstream_drift_psi",
    "Population stability index of a field's measured values against the training rows, corrected for chance. Below "
    "0.1 is little drift, above 0.25 is much.",
    "field",
)
DRIFT_MISSING: Final = _gauge(
    "heartstream_drift_missing_share_difference",
    "Share of records in which the field is not measured, minus the same share of the training rows.",
    "field",
)
DRIFT_OUT_OF_RANGE: Final = _gauge(
    "heartstream_drift_out_of_range_share",
    "Share of the field's measured values outside the range of the training rows.",
    "field",
)
DRIFT_SCORE_PSI: Final = _gauge(
    "heartstream_drift_score_psi",
    "Population stability index of the risks against the model's out-of-fold risks of the training rows, corrected for "
    "chance as above.",
    "model",
)
_OF_OUTCOMES: Final = ("model", "digest", "window")
OUTCOMES: Final = _gauge(
    "heartstream_outcomes_evaluated",
    "Known outcomes matched to a score of the model, by window: all that are held, and the last.",
    *_OF_OUTCOMES,
)
OUTCOMES_RATIO: Final = _gauge(
    "heartstream_outcomes_observed_expected_ratio",
    "Share of patients with disease divided by their mean risk; 1 if risks are right on average.",
    *_OF_OUTCOMES,
)
OUTCOMES_RATIO_LOW: Final = _gauge(
    "heartstream_outcomes_observed_expected_ratio_low", "Lower limit of the ratio's 95% interval.", *_OF_OUTCOMES
)
OUTCOMES_RATIO_HIGH: Final = _gauge(
    "heartstream_outcomes_observed_expected_ratio_high", "Upper limit of the ratio's 95% interval.", *_OF_OUTCOMES
)
OUTCOMES_BRIER: Final = _gauge("heartstream_outcomes_brier_score", "Brier score of the risks.", *_OF_OUTCOMES)
OUTCOMES_CONSTANT_BRIER: Final = _gauge(
    "heartstream_outcomes_baseline_brier_score",
    "Brier score of predicting the observed share for every patient.",
    *_OF_OUTCOMES,
)
OUTCOMES_INTERCEPT: Final = _gauge(
    "heartstream_outcomes_calibration_intercept",
    "What must be added to all log-odds to make risks right on average.",
    *_OF_OUTCOMES,
)
OUTCOMES_ROC_AUC: Final = _gauge(
    "heartstream_outcomes_roc_auc", "ROC-AUC of the risks, if at least 20 of each outcome are known.", *_OF_OUTCOMES
)
OUTCOMES_LEFT_OUT: Final = _gauge(
    "heartstream_outcomes_excluded", "Outcomes excluded from the evaluation, by reason.", "reason"
)
REQUESTS: Final = _counter("heartstream_http_requests", "HTTP requests by route and status.", "route", "status")
REQUEST_SECONDS: Final = _histogram(
    "heartstream_http_request_duration_seconds",
    "Time to answer an HTTP request.",
    (0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2),
    "route",
)
SPANS: Final = _counter_of(
    "heartstream_trace_spans",
    "Trace spans: ended, sent to the collector, or failed to be sent. Spans that ended and were not sent are lost.",
    "outcome",
    "ended",
    "sent",
    "failed",
)


def show(gauge: Gauge, values: Mapping[str, float | None]) -> None:
    """Show a gauge's value by its one label; where it is None, show none."""
    for label, value in values.items():
        if value is None:
            gauge.remove(label)
        else:
            gauge.labels(label).set(value)


def render() -> tuple[bytes, str]:
    """Return all metrics in Prometheus text format, and their content type."""
    return generate_latest(), CONTENT_TYPE_LATEST


def read(text: str) -> list[Sample]:
    """Read what `render` wrote, here or in another process; raises ValueError where it is no such text."""
    families = text_string_to_metric_families(text)
    return [Sample(sample.name, dict(sample.labels), sample.value) for family in families for sample in family.samples]
