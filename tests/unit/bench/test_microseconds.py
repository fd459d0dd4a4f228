"""The profile of the worker assigns time to steps by file and function, which must be those of today."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from bench.microseconds import STEPS, step_of

ROOT: Final = Path(__file__).parents[3]
OWN: Final = ("bench", "runtime", "schemas", "scoring", "worker")


@pytest.mark.parametrize("place", [place for place, _ in STEPS if place.split("/")[0] in OWN])
def test_what_a_step_names_is_there(place: str) -> None:
    """A file that was renamed would silently count as some other step."""
    name, _, function = place.partition(":")
    found = sorted(ROOT.glob(f"{name.rstrip('/')}*"))
    assert found
    assert not function or f"def {function}" in found[0].read_text(encoding="utf-8")


def test_the_innermost_known_frame_decides() -> None:
    """What numpy or the standard library does is part of the step that calls it."""
    stack = "main (worker/main.py:1);decoded (schemas/record_format.py:80);loads (json/__init__.py:1)"
    assert step_of(stack) == "decode the JSON"
