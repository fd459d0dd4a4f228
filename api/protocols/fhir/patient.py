"""The Patient of a Bundle: who it is, and the sex and age that follow from what is told of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from api.protocols.fhir.bundle import Complaint, Part, complaint
from api.protocols.fhir.dates import Days, ages, days_of
from api.protocols.fhir.observations import Observed
from schemas.errors import RejectionCode
from schemas.fhir.mapping import SEXES
from schemas.fhir.requests import SentPatient, SentReference

_GENDERS: Final = (*SEXES, "other", "unknown", "")


class Person(msgspec.Struct, frozen=True):
    """The one Patient: an id for the record, the names by which Observations may refer to it, and what it tells."""

    at: str
    id: str
    names: frozenset[str]
    reference: str
    told: SentPatient

    def is_meant_by(self, subject: SentReference) -> bool:
        """Say whether a reference is to this Patient."""
        return subject.reference.partition("/_history/")[0] in self.names


def person_of(parts: Sequence[Part]) -> Person | Complaint:
    """Return the one Patient."""
    found = [(part, part.resource) for part in parts if isinstance(part.resource, SentPatient)]
    if len(found) != 1:
        code = RejectionCode.DUPLICATE_FIELD if found else RejectionCode.MISSING_FIELD
        return complaint(code, "Bundle.entry", "there must be one Patient")
    ((part, patient),) = found
    if patient.modifier_extension is not UNSET or patient.implicit_rules is not UNSET:
        text = "has a modifierExtension or implicitRules, which change its meaning; none is known here"
        return complaint(RejectionCode.UNSUPPORTED_CODING, part.at, text)
    if not part.reference:
        text = "must have an id, or its entry a fullUrl, for the answer to refer to"
        return complaint(RejectionCode.MISSING_FIELD, part.at, text)
    local = f"Patient/{patient.id}" if patient.id else part.reference
    names = frozenset({local, part.reference, part.full_url or local})
    return Person(part.at, patient.id or part.full_url, names, part.reference, patient)


def sex_of(person: Person, observed: Sequence[Observed]) -> float | Complaint | None:
    """Return the record's sex: the gender, or an Observation of ours, or both where they agree; None if none tells."""
    gender, at = person.told.gender, f"{person.at}.gender"
    if gender not in _GENDERS:
        return complaint(RejectionCode.IMPOSSIBLE_CODE, at, "sex: must be male, female, other or unknown", "sex")
    told, own = SEXES.get(gender), observed[0].value if observed else None
    if told is not None and own is not None and told != own:
        return complaint(RejectionCode.DUPLICATE_FIELD, at, "sex: gender and Observation contradict each other", "sex")
    return told if own is None else own


class Age(msgspec.Struct, frozen=True):
    """Completed years, and how they were told; None where nothing tells."""

    years: float | None
    note: str = ""


def age_of(person: Person, observed: Mapping[str, Sequence[Observed]], today: dt.date) -> Age | Complaint:
    """Return the age when the patient was last observed.

    An Observation of the age tells it, or the date of birth and that of the last Observation; both must agree.
    """
    at, born = f"{person.at}.birthDate", person.told.birth_date
    own = observed.get("age", ())
    if not born:
        return Age(own[0].value if own else None)
    birth = days_of(born)
    if birth is None:
        return complaint(RejectionCode.WRONG_TYPE, at, "age: birthDate is no date", "age")
    if own:
        low, high = ages(birth, own[0].days or _last(observed) or (today, today))
        if low <= (own[0].value or 0) <= high:
            return Age(own[0].value)
        return complaint(
            RejectionCode.DUPLICATE_FIELD, at, "age: birthDate and Observation contradict each other", "age"
        )
    last = _last(observed)
    low, high = ages(birth, last or (today, today))
    if low != high:
        text = "age: birthDate or the last Observation's date is too coarse to tell; send whole dates, or LOINC 30525-0"
        return complaint(RejectionCode.MISSING_VALUE, at, text, "age")
    when = "the date of the last Observation" if last else "the day of this assessment, for no Observation has a date"
    return Age(float(low), f"age is {low}, in completed years on {when}.")


def _last(observed: Mapping[str, Sequence[Observed]]) -> Days | None:
    """Return when the last Observation was made, as far as it is told; None if none has a date."""
    days = [one.days for each in observed.values() for one in each if one.days]
    if not days:
        return None
    return max(first for first, _ in days), max(last for _, last in days)
