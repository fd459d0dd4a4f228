"""Option types that several commands share."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from schemas.codings import CODINGS, unknown_coding_text
from schemas.reading import ReadOptions, TextOptions


def _known(_kind: object, name: str | None) -> None:
    """Raise ValueError for an unknown coding."""
    if name is not None and name not in CODINGS:
        raise ValueError(unknown_coding_text())


CodingName = Annotated[str, Parameter(validator=_known, name="--coding")]
Count = Annotated[int, Parameter(validator=Number(gte=1))]
Flag = Annotated[bool, Parameter(negative="")]
"""An option without a value, and without a negative form."""
FileOptions = Annotated[ReadOptions, Parameter(name="*", negative="")]
LabelledOptions = Annotated[TextOptions, Parameter(name="*")]
DEFAULT_READ_OPTIONS: Final = ReadOptions()
DEFAULT_TEXT_OPTIONS: Final = TextOptions()
