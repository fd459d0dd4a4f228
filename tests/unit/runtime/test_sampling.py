"""Laws of trace sampling."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime.sampling import RandomSampler, RateLimiter


@given(st.lists(st.integers(0, 50), max_size=20), st.sampled_from([0.05, 0.3, 0.9]), st.integers(0, 1000))
def test_sampling_does_not_depend_on_batches(sizes: list[int], share: float, seed: int) -> None:
    """The same records are sampled, however they are divided into batches."""
    whole = RandomSampler(share, np.random.default_rng(seed).random).pick(sum(sizes))
    cut = RandomSampler(share, np.random.default_rng(seed).random)
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    parts = [start + place for start, size in zip(starts, sizes, strict=True) for place in cut.pick(size)]
    assert parts == whole


def test_the_sample_ratio_is_exact() -> None:
    """A ratio of 0.05 samples 5,000 of 100,000 records; 0 samples none and 1 samples all."""
    shares = [0.0, 0.05, 1.0]
    counts = [len(RandomSampler(share, np.random.default_rng(4711).random).pick(100_000)) for share in shares]
    assert (counts[0], 4_700 < counts[1] < 5_300, counts[2]) == (0, True, 100_000)


def test_the_budget_refills_with_time() -> None:
    """Ten are allowed at once, then as many as the elapsed time refills, and never more than ten at once."""
    now = [0.0]
    budget = RateLimiter(10, lambda: now[-1])
    passed = [sum(budget.take() for _ in range(50))]
    for later in (0.5, 100.0):
        now.append(later)
        passed.append(sum(budget.take() for _ in range(50)))
    assert passed == [10, 5, 10]
