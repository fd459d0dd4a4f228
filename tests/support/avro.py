"""An Avro schema of a patient record."""

from __future__ import annotations

from typing import Any

from tests.support.uci import FEATURE_NAMES

FIELDS = [{"name": name, "type": ["null", "double", "long"]} for name in FEATURE_NAMES]
SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Patient",
    "namespace": "clinic",
    "fields": [{"name": "patient_id", "type": "string"}, *FIELDS],
}
