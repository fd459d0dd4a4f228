"""The option `--coding`: which coding of the data a whole source is in."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from schemas.codings import CODINGS, unknown_coding_text


def _known(_kind: object, name: str | None) -> None:
    """Raise ValueError where there is no such coding."""
    if name is not None and name not in CODINGS:
        raise ValueError(unknown_coding_text())


CodingName = Annotated[str, Parameter(validator=_known, name="--coding")]
