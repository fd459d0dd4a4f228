"""Rates and processor time are those of the results that are timed."""

from __future__ import annotations

import numpy as np
import pytest

from bench.meter import Reading, Sample
from bench.output import Output


def output(*milliseconds: int) -> Output:
    """Return one partition whose results were written at these times."""
    ones = np.ones(len(milliseconds), dtype=np.int64)
    return Output((ones,), (ones,), (np.array(milliseconds, dtype=np.int64),))


def samples(*looks: tuple[float, float]) -> list[Sample]:
    """Return looks at the processor time: clock and seconds used, both in seconds."""
    return [Sample(clock, clock, (), used) for clock, used in looks]


@pytest.mark.parametrize(("untimed", "rate", "cpu_us"), [(0.0, 1_999 / 3, 2_500_000 / 1_999), (0.5, 1_000, 500)])
def test_what_is_not_timed_counts_neither_as_results_nor_as_time(untimed: float, rate: float, cpu_us: float) -> None:
    """1,000 results in 2 s for 2 CPU seconds, then 1,000 in 1 s for half a one."""
    written = [*(2 * n for n in range(1_000)), *(2_000 + n for n in range(1, 1_001))]
    looks = samples((0, 1), (1.998, 3), (3, 3.5))
    found = Reading.of(looks, output(*written), 2_000, untimed=untimed)
    assert (round(found.records_per_s, -1), round(found.cpu_us, -1)) == (round(rate, -1), round(cpu_us, -1))


def test_too_short_a_second_half_is_refused() -> None:
    """However long the first one was."""
    with pytest.raises(ValueError, match="too few records to time"):
        Reading.of(samples((0, 0), (9, 1)), output(*range(0, 5_000, 100), *range(5_000, 5_050)), 100, untimed=0.6)
