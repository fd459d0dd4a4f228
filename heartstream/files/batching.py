"""How files are cut into batches."""

from __future__ import annotations

from typing import Final

BATCHING: Final = 3
"""Another number whenever a size below changes: a journal counts batches, so it holds only for the same ones."""

BATCH_ROWS: Final = 8_192
CSV_BATCH_BYTES: Final = 1 << 19
LINES_BATCH_BYTES: Final = 1 << 21
