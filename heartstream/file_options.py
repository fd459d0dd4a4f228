"""The options of each command that reads a file of columns, and the line that says how it was understood."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from heartstream.printable import printable
from schemas.reading import ReadOptions, TextOptions

FileOptions = Annotated[ReadOptions, Parameter(name="*", negative="")]
LabelledOptions = Annotated[TextOptions, Parameter(name="*")]
AS_IT_IS: Final = ReadOptions()
AS_TEXT: Final = TextOptions()


def announce(path: Path, notes: Sequence[str]) -> None:
    """Say on standard error how a file was understood, unless it is as plain as it can be."""
    if notes:
        sys.stderr.write(f"heartstream: {printable(f'{path}: ' + '; '.join(notes))}\n")
