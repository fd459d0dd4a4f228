"""The fields that change a risk most, as JSON. Optimized for speed: a few numpy calls per batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.codec import reason_json
from schemas.records import Reason
from scoring.features import Matrix

LOG_ODDS_DECIMALS: Final = 3
_STEPS: Final = 10.0**LOG_ODDS_DECIMALS
_REMEMBERED: Final = 1 << 19
"""Reasons below 16 in log-odds are cached: a few hundred of them in real data. The limit bounds memory."""

Keys = npt.NDArray[np.intp]


class StrongestReasons:
    """Picks the strongest contributions of each record; equally strong ones in the order of `fields`.

    A reason is identified by an integer: twice its field, plus 1 if it lowers the risk, minus the number of keys (a
    power of 2) for each thousandth of log-odds. So the smallest integers are the strongest reasons, and they are the
    index of the cached JSON.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = fields
        # Keys per strength: one for each field and sign.
        self._keys = 1 << (2 * len(fields)).bit_length()
        self._field_keys = 2.0 * np.arange(len(fields))
        self._remembered: npt.NDArray[Any] = np.empty(_REMEMBERED, dtype=np.object_)
        self._is_remembered = np.zeros(_REMEMBERED, dtype=np.bool_)

    def of(self, contributions: Matrix, count: int) -> list[list[msgspec.Raw]]:
        """Return `count` reasons per record, strongest first, of contributions (n, fields)."""
        steps = np.rint(contributions * _STEPS)
        keys = np.abs(steps) * -self._keys + self._field_keys + np.signbit(steps)
        keys.sort(axis=1)
        picked: Keys = keys[:, :count].astype(np.intp)
        if picked.min(initial=0) <= self._keys - _REMEMBERED:
            return [[self._json(key) for key in row] for row in picked.tolist()]
        if not self._is_remembered[picked].all():
            self._remember(np.unique(picked).tolist())
        found: list[list[msgspec.Raw]] = self._remembered[picked].tolist()
        return found

    def _remember(self, keys: Sequence[int]) -> None:
        for key in keys:
            if not self._is_remembered[key]:
                self._remembered[key] = self._json(key)
                self._is_remembered[key] = True

    def _json(self, key: int) -> msgspec.Raw:
        rest = key % self._keys
        log_odds = (rest - key) // self._keys / _STEPS
        return reason_json(Reason(self._fields[rest >> 1], -log_odds if rest & 1 else log_odds))
