"""The contract's examples, the test data of every interface.

`schemas/examples/patients/v1/accepted/<name>.json` holds a record that must be scored. A `rejected/<name>.record` holds
the raw bytes of a record that must be rejected, and `rejected/<name>.issues.json` all of its issues, in order.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from schemas.errors import RejectionCode
from schemas.records import RECORD_MAX_BYTES
from tests.support.uci import FEATURE_NAMES, validate

Pair = tuple[str, str]
"""The code and the JSON Pointer of an issue."""

FOLDER: Final = Path(__file__).parents[2] / "schemas" / "examples" / "patients" / "v1"


def accepted() -> list[tuple[str, bytes]]:
    """Return the name and bytes of each record that must be scored."""
    return [(path.stem, path.read_bytes()) for path in sorted((FOLDER / "accepted").glob("*.json"))]


def rejected() -> list[tuple[str, bytes, list[Pair]]]:
    """Return the name, bytes and all issues of each record that must be rejected."""
    return [(path.stem, path.read_bytes(), _issues(path)) for path in sorted((FOLDER / "rejected").glob("*.record"))]


def rejected_unwritten() -> list[tuple[str, bytes | None, list[Pair]]]:
    """Return the same for values that a file cannot or should not hold: a tombstone, and values of 50 KB to 10 MB."""
    valid = dict(accepted())["complete"]
    return [
        ("tombstone", None, [("empty_value", "")]),
        ("deep-nesting", b"[" * 30_000 + b"]" * 30_000, [("not_json", "")]),
        ("many-unknown-fields", _many_unknown_fields(), [("unknown_field", ""), *_all_missing()]),
        ("one-byte-too-large", valid.ljust(RECORD_MAX_BYTES + 1), [("too_large", "")]),
        ("ten-megabytes", valid.ljust(10_000_000), [("too_large", "")]),
    ]


def shows_another_coding(value: bytes) -> bool:
    """Whether a record is evidence that its source uses another coding, so that records near it are rejected."""
    found = validate(value)
    return isinstance(found, tuple) and any(issue.code == RejectionCode.FOREIGN_CODE for issue in found)


def _issues(record: Path) -> list[Pair]:
    pairs = json.loads(record.with_suffix(".issues.json").read_text("utf-8"))
    return [(code, pointer) for code, pointer in pairs]


def _many_unknown_fields() -> bytes:
    return json.dumps({f"marker_{number}": 1 for number in range(3_000)}).encode()


def _all_missing() -> list[Pair]:
    return [("missing_field", f"/{name}") for name in ("patient_id", *FEATURE_NAMES)]
