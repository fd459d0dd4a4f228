"""Option types that several commands share."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from heartstream.terminal.exit_codes import BAD_USAGE
from schemas.read_options import ReadOptions, TextOptions

if TYPE_CHECKING:
    from heartstream.operations.dlq.filters import RecordRange


CodingName = Annotated[str, Parameter(name="--coding")]
Count = Annotated[int, Parameter(validator=Number(gte=1))]
Flag = Annotated[bool, Parameter(negative="")]
"""An option without a value, and without a negative form."""
FileOptions = Annotated[ReadOptions, Parameter(name="*", negative="")]
LabelledOptions = Annotated[TextOptions, Parameter(name="*")]
DEFAULT_READ_OPTIONS: Final = ReadOptions()
DEFAULT_TEXT_OPTIONS: Final = TextOptions()


def record_range(since: str | None, until: str | None, limit: int | None) -> RecordRange:
    """Parse the options that choose records; a time that cannot be read ends the command with a usage error."""
    from heartstream.operations.dlq.filters import RecordRange  # noqa: PLC0415  # --help should not wait for Faust

    try:
        return RecordRange.of(since, until, limit)
    except ValueError as error:
        sys.stderr.write(f"heartstream: {error}\n")
        raise SystemExit(BAD_USAGE) from None
