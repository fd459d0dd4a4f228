"""Metrics of any process."""

from __future__ import annotations

from typing import Final

from runtime.metrics.definitions import gauge

PROCESS: Final = gauge(
    "heartstream_process_info",
    "What this process is: worker, gateway, shadow or outcomes; the value is 1.",
    "role",
    "version",
)
