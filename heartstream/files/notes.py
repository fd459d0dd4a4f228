"""What is said of a file before it is read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from heartstream.terminal.printable import printable


def announce(path: Path, notes: Sequence[str]) -> None:
    """Say on standard error how a file was understood, unless it is as plain as it can be."""
    if notes:
        sys.stderr.write(f"heartstream: {printable(f'{path}: ' + '; '.join(notes))}\n")
