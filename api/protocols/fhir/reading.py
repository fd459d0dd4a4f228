"""Reading Bundles leniently while other requests are served: in slices, and large ones one after another."""

from __future__ import annotations

import datetime as dt
from contextlib import nullcontext
from functools import partial
from typing import Final

from api.limits.memory_limit import MemoryLimit
from api.limits.time_slices import TimeSlicer
from api.protocols.fhir.lenient import LenientParser
from api.protocols.fhir.lenient_bundle import OpenBundle
from api.protocols.fhir.parse import ParsedBundle, RefusedBundle

LARGE_BYTES: Final = 262_144
"""More is not parsed at once, as that would block the event loop."""


class SlicedParser:
    """Parses Bundles with a lenient parser."""

    def __init__(
        self, parser: LenientParser, slicer: TimeSlicer, memory_limit: MemoryLimit, timeout_seconds: float
    ) -> None:
        """A large Bundle waits for another one `timeout_seconds` at most."""
        self._parser = parser
        self._slicer = slicer
        self._memory_limit = memory_limit
        self._timeout_seconds = timeout_seconds

    async def parse(self, body: bytes, today: dt.date, *, to_populate: bool = False) -> ParsedBundle | RefusedBundle:
        """Return the patient record of a Bundle, or of what fills a form in, or every error in it.

        A large one is parsed when no other is, as its objects are larger than its body.
        """
        is_large = len(body) > LARGE_BYTES
        async with self._memory_limit.exclusive(self._timeout_seconds) if is_large else nullcontext():
            opened = await self._slicer.run(partial(self._parser.open, body, to_populate=to_populate))
            if isinstance(opened, OpenBundle):
                for places in opened.slices():
                    await self._slicer.run(self._parser.read, opened, places)
            finish = partial(self._parser.finish, opened, today, to_populate=to_populate)
            reading = await self._slicer.run(finish)
        return reading.result
