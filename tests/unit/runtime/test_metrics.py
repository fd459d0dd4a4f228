"""Laws of the metrics."""

from __future__ import annotations

import math
import re

from hypothesis import given
from hypothesis import strategies as st

from runtime import metrics
from runtime.metrics import SpreadHistogram

BOUNDS = (0.01, 0.1, 1.0, 10.0)
SECONDS = st.floats(0, 20)


def buckets(histogram: SpreadHistogram) -> list[float]:
    (family,) = histogram.collect()
    return [sample.value for sample in family.samples if sample.name.endswith("_bucket")]


def test_values_between_two_bounds_are_spread_evenly() -> None:
    """Of 100 records from 0 to 2 seconds, one in twenty is at or below 0.1 s and half are at or below 1 s."""
    histogram = SpreadHistogram("test_seconds", "Test.", BOUNDS)
    histogram.observe(0.0, 2.0, 100)
    assert buckets(histogram) == [0, 5, 50, 100, 100]


def test_a_single_value_is_counted_in_its_bucket() -> None:
    """A value equal to a bucket's upper bound belongs to that bucket, as Prometheus defines it."""
    histogram = SpreadHistogram("test_seconds", "Test.", BOUNDS)
    histogram.observe(0.1, 0.1, 1)
    histogram.observe(99.0, 99.0, 3)
    assert buckets(histogram) == [0, 1, 1, 1, 4]


@given(st.lists(st.tuples(SECONDS, SECONDS, st.integers(1, 5000)), max_size=20))
def test_spreading_loses_no_record(batches: list[tuple[float, float, int]]) -> None:
    """Bucket counts never decrease, the last one is the number of records, and the sum is that of the even spread."""
    histogram = SpreadHistogram("test_seconds", "Test.", BOUNDS)
    for first, second, count in batches:
        histogram.observe(min(first, second), max(first, second), count)
    counts = buckets(histogram)
    (family,) = histogram.collect()
    total = next(sample.value for sample in family.samples if sample.name == "test_seconds_sum")
    assert counts == sorted(counts)
    assert counts[-1] == sum(count for *_, count in batches)
    assert math.isclose(total, sum(count * (first + second) / 2 for first, second, count in batches))


def test_names_follow_the_prometheus_conventions() -> None:
    """Counters and only they end in `_total`; units are base units; every name has our prefix and a help text."""
    for metric in metrics.DESCRIBED:
        assert re.fullmatch(r"heartstream_[a-z_]+[a-z]", metric.name), metric.name
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert not re.search(r"(milli|micro|nano)seconds|_ms|_kb|minutes|hours|percent", metric.name), metric.name
        assert metric.meaning.endswith("."), metric.name


def test_every_described_metric_is_exported() -> None:
    """The exposition has the type and help text of each described metric."""
    text = metrics.render()[0].decode()
    absent = [metric.name for metric in metrics.DESCRIBED if f"# TYPE {metric.name} {metric.kind}\n" not in text]
    assert absent == []


def test_exported_metrics_can_be_read_back() -> None:
    """Names, labels and values survive rendering and parsing."""
    metrics.consumer.LAG_RECORDS.labels("read-back", "7").set(12)
    samples = [s for s in metrics.read(metrics.render()[0].decode()) if s.labels.get("topic") == "read-back"]
    metrics.consumer.LAG_RECORDS.remove("read-back", "7")
    labels = {"topic": "read-back", "partition": "7"}
    assert samples == [metrics.Sample("heartstream_consumer_lag_records", labels, 12.0)]
