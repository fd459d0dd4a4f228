"""Laws of the events that do more than increment a counter."""

from __future__ import annotations

from runtime import events, metrics


def shown(name: str, **labels: str) -> float:
    samples = metrics.read(metrics.render()[0].decode())
    return sum(s.value for s in samples if s.name == f"heartstream_{name}" and labels.items() <= s.labels.items())


def delivered(oldest: float | None, newest: float | None, codes: tuple[str, ...] = ()) -> tuple[float, float]:
    """Emit a delivered batch of ten records, at time 1000; return by how much the latency's count and sum grew."""
    names = ("end_to_end_latency_seconds_count", "end_to_end_latency_seconds_sum")
    before = [shown(name) for name in names]
    events.BatchDelivered(0.1, 1000.0, 10, oldest, newest, codes).emit()
    count, total = (shown(name) - then for name, then in zip(names, before, strict=True))
    return count, round(total, 6)


def test_every_record_of_a_batch_has_a_latency() -> None:
    """Ten records that are two to four seconds old give ten latencies with a mean of three seconds."""
    assert delivered(996.0, 998.0) == (10, 30.0)


def test_a_timestamp_in_the_future_gives_no_negative_latency() -> None:
    """A timestamp from a producer whose clock is ahead counts as now."""
    assert delivered(1005.0, 1006.0) == (10, 0.0)


def test_timestamps_may_be_in_any_order() -> None:
    """The first record of a batch may be younger than the last: producers set their own timestamps."""
    assert delivered(998.0, 996.0) == (10, 30.0)


def test_records_without_a_timestamp_have_no_latency() -> None:
    """A batch whose timestamps are unknown adds nothing to the latency histogram."""
    assert delivered(None, None) == (0, 0.0)


def test_dead_letters_are_counted_by_code() -> None:
    """Three dead letters with two rejection codes give the two counts."""
    before = [shown("dead_letters_total", code=code) for code in ("not_json", "empty_value")]
    delivered(996.0, 998.0, ("not_json", "empty_value", "not_json"))
    grown = [shown("dead_letters_total", code=code) for code in ("not_json", "empty_value")]
    assert [now - then for now, then in zip(grown, before, strict=True)] == [2, 1]


def test_a_revoked_partition_shows_no_lag() -> None:
    """The lag of a partition that is no longer assigned disappears, in records and in seconds."""
    events.LagMeasured("gone", 3, 5, 1.5).emit()
    assert (shown("consumer_lag_records", topic="gone"), shown("consumer_lag_seconds", topic="gone")) == (5, 1.5)
    events.LagForgotten("gone", 3).emit()
    assert 'topic="gone"' not in metrics.render()[0].decode()


def test_unknown_drift_is_not_shown() -> None:
    """A field's drift is exported while it is known; then the series disappears, as a stale value would mislead."""
    for known in (0.3, None):
        events.DriftMeasured("own", 500, {"own": known}, {"own": known}, {"own": known}, known).emit()
        names = ("drift_psi", "drift_missing_share_difference", "drift_out_of_range_share")
        assert [shown(name, field="own") for name in names] == [known or 0] * 3
        assert shown("drift_score_psi", model="own") == (known or 0)
        assert shown("drift_window_records") == 500
    assert 'heartstream_drift_psi{field="own"}' not in metrics.render()[0].decode()


def test_drift_of_a_replaced_model_is_not_shown() -> None:
    """A replaced model's last value would never change again, so an alert on it could never resolve."""
    for model in ("before", "after"):
        events.DriftMeasured(model, 500, {}, {}, {}, 0.3).emit()
    samples = [
        sample for sample in metrics.read(metrics.render()[0].decode()) if sample.name.endswith("drift_score_psi")
    ]
    assert [(sample.labels["model"], sample.value) for sample in samples] == [("after", 0.3)]
