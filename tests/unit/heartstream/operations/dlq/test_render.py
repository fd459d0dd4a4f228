"""Dead letters are shown without anything that a producer wrote, unless it is asked for."""

from __future__ import annotations

import json

import pytest

from heartstream.operations.dlq.dead_letters import DeadLetterRecord
from heartstream.operations.dlq.render import json_line, letter_lines

MARKER = "Zebra-4711"
LETTER = DeadLetterRecord(
    0, 1, 1_760_000_000_000, MARKER.encode(), MARKER.encode(), ((MARKER, MARKER.encode()),), None, 0, None, None
)


@pytest.mark.parametrize("with_value", [False, True])
def test_a_producers_headers_are_counted_and_shown_on_demand(*, with_value: bool) -> None:
    """Header names can identify a patient as well as values, in JSON and in text."""
    line = json_line(LETTER, redriven=False, with_key=False, with_value=with_value)
    told = "\n".join(letter_lines(LETTER, "patients.dlq", redriven=False, with_value=with_value))
    assert (MARKER in line, MARKER in told) == (with_value, with_value)
    assert json.loads(line)["headers"] == 1
