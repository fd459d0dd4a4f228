"""How FHIR resources carry the fields of a feature table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

LOINC: Final = "http://loinc.org"


class FhirCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A code of an Observation that has exactly the meaning of a field, or of the quantity that the field is about.

    `units` maps UCUM codes to the factor that converts them to the field's unit; if there are none, those of the field
    apply. `other_units` are as those of a feature. With `above`, the field is 1 if the quantity is greater, else 0;
    `above`, and the `limits` of valid quantities, are in the unit whose factor is 1. With a `panel`, a code of the same
    system, or several, the code may also be that of a component of such an Observation. With `fasting`, it has the
    meaning only where the Bundle states that the patient had fasted.

    What is unset is not in the canonical form of a table, so that its digest stays as it is.
    """

    code: str
    display: str
    system: str = LOINC
    units: Mapping[str, float] = {}
    above: float | None = None
    limits: tuple[float, float] | None = None
    panel: str | tuple[str, ...] = ""
    other_units: Mapping[str, float] | UnsetType = UNSET
    fasting: bool | UnsetType = UNSET

    @property
    def panels(self) -> tuple[str, ...]:
        """The codes of all panels."""
        return self.panel if isinstance(self.panel, tuple) else (self.panel,) if self.panel else ()

    @property
    def unit(self) -> str:
        """The unit of `above` and `limits`; empty if no factor is 1."""
        return next((unit for unit, factor in self.units.items() if factor == 1), "")


class FhirOperation(msgspec.Struct, frozen=True):
    """The operation that scores a Bundle.

    Its route is `/fhir/$` and `operation`. `title` and `outcome` describe a RiskAssessment and its prediction. The
    field `age` follows from Patient.birthDate, and `gender` from Patient.gender, for which `genders` has the codes of
    the field; either is empty if the table has no such field.
    """

    operation: str
    title: str
    outcome: str
    age: str = ""
    gender: str = ""
    genders: Mapping[str, int] = {}
