"""The patients of a feature table, their groups and subgroups, and the results that are known of them."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class PatientGroup(msgspec.Struct, frozen=True):
    """A group of patients for which uncertainty is measured separately: the values that it has, by required field."""

    name: str
    where: Mapping[str, tuple[int, ...]]


class Subgroup(msgspec.Struct, frozen=True):
    """Patients whose performance is reported by itself: those with one of `codes` in `field`, or a value in a range.

    The range is from `at_least` on, and `below` the upper limit; each may be absent.
    """

    name: str
    field: str
    codes: tuple[int, ...] = ()
    at_least: float | int | None = None
    below: float | int | None = None


class Population(msgspec.Struct, frozen=True):
    """The patients of the table's data, as far as only a person can know, and the data's licence."""

    who: str = ""
    licence: str = ""


class Plausible(msgspec.Struct, frozen=True):
    """The best results that the fields are known to give without leakage, for so many positives and negatives.

    Training refuses much better ones. `source` says where the figures come from.
    """

    roc_auc: float
    accuracy: float
    positives: int
    negatives: int
    source: str = ""
