"""The sample size that a model of a given number of parameters needs: the criteria of Riley et al. (BMJ 2020)."""

from __future__ import annotations

from math import ceil, exp, log
from typing import Final

import msgspec

from scoring.compiled_table import CompiledTable
from training.arrays import Labels

_SHRINKAGE: Final = 0.9
_OPTIMISM: Final = 0.05
_ASSUMED: Final = 0.15


class SampleSize(msgspec.Struct, frozen=True):
    """The sample, and the patients that a shrinkage of 0.9, an optimism of 0.05 and the prevalence each require."""

    patients: int
    events: int
    parameters: int
    events_per_parameter: float
    for_shrinkage: int
    for_optimism: int
    for_prevalence: int


def sample_size(labels: Labels, parameters: int, log_loss: float) -> SampleSize:
    """Apply Riley's criteria, with the out-of-fold Cox-Snell R² of the model."""
    patients, events = len(labels), int(labels.sum())
    share = events / patients
    # R² of 0 or its maximum has no solution: clipped, it asks for very many patients or for few.
    explained = min(max(1 - exp(2 * (log_loss - _entropy(share))), 0.001), 0.89)
    each = round(events / parameters, 2)
    return SampleSize(patients, events, parameters, each, *_required(share, parameters, explained))


def required_patients(share: float, parameters: int) -> int:
    """Return how many patients a model of unknown performance needs, at this share of events.

    R² is assumed to be 15% of its maximum, which Riley et al. advise where no other model is known.
    """
    return max(_required(share, parameters, _ASSUMED * (1 - exp(-2 * _entropy(share)))))


def parameter_count(compiled: CompiledTable) -> int:
    """Return the free parameters of the logistic regression: one column of each coded field is redundant."""
    return len(compiled.columns.field_of) - len(compiled.columns.one_hot)


def _required(share: float, parameters: int, explained: float) -> tuple[int, int, int]:
    largest = 1 - exp(-2 * _entropy(share))
    shrunk = explained / (explained + _OPTIMISM * largest)
    counts = (
        parameters / ((_SHRINKAGE - 1) * log(1 - explained / _SHRINKAGE)),
        parameters / ((shrunk - 1) * log(1 - explained / shrunk)),
        (1.96 / 0.05) ** 2 * share * (1 - share),
    )
    for_shrinkage, for_optimism, for_prevalence = (ceil(count) for count in counts)
    return for_shrinkage, for_optimism, for_prevalence


def _entropy(share: float) -> float:
    return -share * log(share) - (1 - share) * log(1 - share)
