"""The options of each command that reads a file of columns."""

from __future__ import annotations

from typing import Annotated, Final

from cyclopts import Parameter

from schemas.reading import ReadOptions, TextOptions

FileOptions = Annotated[ReadOptions, Parameter(name="*", negative="")]
LabelledOptions = Annotated[TextOptions, Parameter(name="*")]
AS_IT_IS: Final = ReadOptions()
AS_TEXT: Final = TextOptions()
