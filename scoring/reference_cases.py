"""Reference cases: records that an engine must score as scikit-learn did in training before it is used.

scikit-learn's risks of them are recorded when a model is trained, so the records must be the same on every machine and
with every version of numpy. They come from a few lines of integer arithmetic: numpy's own generators give no such
promise, and importing them would cost a worker 7 MB.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

from schemas.tables.feature_table import FeatureTable
from scoring.features import Matrix

REFERENCE_CASES: Final = 1024
_MISSING_SHARE: Final = 0.3
_INCREMENT, _FIRST, _SECOND = (np.uint64(n) for n in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""Constants of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""


def reference_cases(table: FeatureTable) -> Matrix:
    """Return 1,024 fixed valid records (1024, fields): random values, missing fields, each field's limits."""
    width = len(table.features)
    values, gaps = _uniform(2 * REFERENCE_CASES * width).reshape(2, REFERENCE_CASES, width)
    cases = np.empty((REFERENCE_CASES, width))
    for j, feature in enumerate(table.features):
        low, high = feature.interval
        if feature.codes:
            codes = np.array([float(code) for code, _ in feature.codes])
            cases[:, j] = codes[(values[:, j] * len(codes)).astype(np.intp)]
        elif feature.whole:
            cases[:, j] = low + np.floor(values[:, j] * (high - low + 1))
        else:
            cases[:, j] = (low + values[:, j] * (high - low)).round(1)
        if not feature.required:
            cases[gaps[:, j] < _MISSING_SHARE, j] = np.nan
        cases[2 * j, j], cases[2 * j + 1, j] = low, high
    return cases


def sha256_of(cases: Matrix) -> str:
    """Return the SHA-256 of reference cases, so that risks of other records are not compared with theirs."""
    return hashlib.sha256(cases.astype("<f8").tobytes()).hexdigest()


def _uniform(count: int) -> Matrix:
    """Return `count` numbers from 0 to 1."""
    state = np.arange(1, count + 1, dtype=np.uint64) * _INCREMENT
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    state ^= state >> np.uint64(31)
    # A float64 represents 53 bits exactly.
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53
