"""Decodes Avro records to JSON. The only module that imports fastavro, an extra."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from schemas.errors import HeartstreamError

_COLLECTIONS: Final = ("array", "map")


class UnusableSchemaError(HeartstreamError):
    """A schema that cannot describe a patient record. The text says why, and quotes nothing of the schema."""


def reader(schema: str) -> Callable[[bytes], bytes | None]:
    """Return a function that converts a value of this schema to JSON, or returns None for an invalid value.

    Raises UnusableSchemaError.
    """
    try:
        import fastavro  # noqa: PLC0415  # an extra, where the first record in Avro comes
    except ImportError:
        raise UnusableSchemaError("is in Avro, and the extra avro is not installed") from None
    try:
        document = json.loads(schema)
        parsed = fastavro.parse_schema(document)
    except Exception as error:  # invalid schemas, and references to other schemas
        raise UnusableSchemaError("is framed with an Avro schema that cannot be read") from error
    # An array of items without bytes may have more items than can be counted.
    if _holds_collections(document):
        raise UnusableSchemaError("is framed with an Avro schema that has arrays or maps: a patient record has none")

    def read(value: bytes) -> bytes | None:
        rest = BytesIO(value)
        try:
            found = fastavro.schemaless_reader(rest, parsed, None)
            # NaN stays NaN, which validation rejects; infinities are not JSON numbers either.
            return None if rest.read(1) else json.dumps(found, default=lambda _: []).encode()
        except Exception:  # noqa: BLE001  # whatever it makes of bytes that are of no such record
            return None

    return read


def _holds_collections(node: Any) -> bool:
    if isinstance(node, dict):
        return node.get("type") in _COLLECTIONS or any(map(_holds_collections, node.values()))
    return isinstance(node, list) and any(map(_holds_collections, node))
