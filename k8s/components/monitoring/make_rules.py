"""Wraps the alert rules for the Prometheus operator: `python k8s/components/monitoring/make_rules.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

FOLDER: Final = Path(__file__).parent
RULES: Final = FOLDER.parents[2] / "compose/prometheus/alerts.yaml"
WRAPPED: Final = FOLDER / "prometheus-rule.yaml"
_HEAD: Final = "# Generated from compose/prometheus/alerts.yaml by make_rules.py.\n"


def wrapped() -> str:
    """Return the rules as a PrometheusRule."""
    labels = {"app.kubernetes.io/name": "heartstream", "app.kubernetes.io/part-of": "heartstream"}
    document = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "heartstream", "labels": labels},
        "spec": yaml.safe_load(RULES.read_text(encoding="utf-8")),
    }
    return _HEAD + yaml.safe_dump(document, sort_keys=False, width=120)


if __name__ == "__main__":
    WRAPPED.write_text(wrapped(), encoding="utf-8")
