"""The Prometheus text format: writing and parsing."""

from __future__ import annotations

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.parser import text_string_to_metric_families


class Sample(msgspec.Struct, frozen=True):
    """One sample, as read from the text format."""

    name: str
    labels: dict[str, str]
    value: float


def render() -> tuple[bytes, str]:
    """Return all metrics in Prometheus text format, and their content type."""
    return generate_latest(), CONTENT_TYPE_LATEST


def read(text: str) -> list[Sample]:
    """Parse the text format, as rendered by this or another process; raises ValueError if it is invalid."""
    families = text_string_to_metric_families(text)
    return [Sample(sample.name, dict(sample.labels), sample.value) for family in families for sample in family.samples]
