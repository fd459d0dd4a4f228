"""Laws of docs/telemetry.md."""

from __future__ import annotations

import msgspec

from runtime import events, metrics
from runtime.generate.telemetry import PAGE, event_entries, render


def test_the_page_is_current() -> None:
    """docs/telemetry.md is what `python -m runtime.generate` writes now."""
    assert PAGE.read_text(encoding="utf-8") == render()


def test_every_event_is_documented() -> None:
    """Each event is exported and has a row with its meaning, and logs a line or changes a metric."""
    classes = [
        name for name, kind in vars(events).items() if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    ]
    entries = list(event_entries())
    assert sorted(entry.name for entry in entries) == sorted(classes)
    assert [entry.name for entry in entries if not entry.meaning or not (entry.lines or entry.metrics)] == []


def test_every_metric_is_updated_by_an_event() -> None:
    """A metric that no event updates would stay at zero and look healthy."""
    moved = {name for entry in event_entries() for name in entry.metrics}
    assert [metric.name for metric in metrics.DESCRIBED if metric.name not in moved] == []


def test_fields_that_are_bound_first_are_documented_with_the_line() -> None:
    """The line of a listener has its purpose, host and port, and is a warning where the whole network can reach it."""
    (entry,) = [entry for entry in event_entries() if entry.name == "ListenerOpened"]
    assert [(line.level, line.fields) for line in entry.lines] == [
        ("info", ("purpose", "host", "port")),
        ("warning", ("purpose", "host", "port")),
    ]
