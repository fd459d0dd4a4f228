"""The prefix of the environment variables, and common types of settings."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

PREFIX: Final = "HEARTSTREAM_"

Port = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Name = Annotated[str, msgspec.Meta(min_length=1)]
Url = Annotated[str, msgspec.Meta(pattern=r"^(https?://\S+)?$", description="http or https URL")]
"""Empty if it is unset."""
