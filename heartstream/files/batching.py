"""Batch sizes for files."""

from __future__ import annotations

from typing import Final

BATCHING: Final = 3
"""Increment when a size below changes: a journal counts batches, and is valid only for batches of the same size."""

BATCH_ROWS: Final = 8_192
CSV_BATCH_BYTES: Final = 1 << 19
LINES_BATCH_BYTES: Final = 1 << 21
