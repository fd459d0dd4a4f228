"""Notes on how a file is read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from heartstream.terminal.printable import printable


def print_notes(path: Path, notes: Sequence[str]) -> None:
    """Print on standard error how a file is read, if that needs saying."""
    if notes:
        sys.stderr.write(f"heartstream: {printable(f'{path}: ' + '; '.join(notes))}\n")
