"""The Patient of a Bundle: identity, gender and age."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from api.protocols.fhir.bundle import BundleIssue, BundleResource, bundle_issue
from api.protocols.fhir.dates import Days, ages, days_of
from api.protocols.fhir.observations import ObservedField
from schemas.errors import RejectionCode
from schemas.fhir.mapping import GENDERS, Measure
from schemas.fhir.requests import SentPatient, SentReference

_GENDERS: Final = (*GENDERS, "other", "unknown", "")


class SubjectPatient(msgspec.Struct, frozen=True):
    """The Patient: the record's id, the references by which Observations may name it, and the resource.

    `base` is the URL of its server, empty if its entry has none.
    """

    path: str
    id: str
    names: frozenset[str]
    reference: str
    resource: SentPatient
    base: str

    def is_referenced_by(self, subject: SentReference, full_url: str) -> bool:
        """Return whether a reference is to this Patient. `full_url` is that of the resource that has the reference.

        A relative reference is to the server of that resource: another server's patients have the same ids.
        """
        name, base = _without_version(subject.reference), _base_of(full_url)
        if base and self.base and name.startswith("Patient/"):
            name = f"{base}/{name}"
        return name in self.names


def patient_issues(subject: SubjectPatient) -> Iterator[BundleIssue]:
    """Yield why a Patient must not be scored: the risk would be shown for nobody, or for the wrong record."""
    code, path, patient = RejectionCode.IMPOSSIBLE_CODE, subject.path, subject.resource
    if not patient.active:
        yield bundle_issue(code, f"{path}.active", "the Patient is not active: send the record that is in use")
    dates = (patient.deceased_date_time, patient.unknown_deceased_date_time)
    if patient.deceased_boolean or any(each is not UNSET for each in dates):
        yield bundle_issue(code, f"{path}.deceased", "the Patient is deceased: no risk is given")
    if any(link.type == "replaced-by" for link in patient.link):
        yield bundle_issue(code, f"{path}.link", "the Patient was replaced: send the Patient that replaces this one")


def find_patient(parts: Sequence[BundleResource]) -> SubjectPatient | BundleIssue:
    """Return the Patient; there must be exactly one."""
    found = [(part, part.resource) for part in parts if isinstance(part.resource, SentPatient)]
    if len(found) != 1:
        code = RejectionCode.DUPLICATE_FIELD if found else RejectionCode.MISSING_FIELD
        return bundle_issue(code, "Bundle.entry", "there must be exactly one Patient")
    ((part, patient),) = found
    if patient.modifier_extension is not UNSET or patient.implicit_rules is not UNSET:
        text = "has a modifierExtension or implicitRules, which may change its meaning and are not supported"
        return bundle_issue(RejectionCode.UNSUPPORTED_CODING, part.path, text)
    if not part.reference:
        text = "must have an id, or its entry a fullUrl, for the response to reference"
        return bundle_issue(RejectionCode.MISSING_FIELD, part.path, text)
    local = f"Patient/{patient.id}" if patient.id else part.reference
    names = frozenset({local, part.reference, _without_version(part.full_url) or local})
    return SubjectPatient(
        part.path, patient.id or part.full_url, names, part.reference, patient, _base_of(part.full_url)
    )


def _base_of(full_url: str) -> str:
    """Return the URL of the server of a resource; empty if the resource's URL has none."""
    match _without_version(full_url).rsplit("/", 2):
        case [base, kind, _] if full_url.startswith(("http://", "https://")) and kind[:1].isupper():
            return base
    return ""


def _without_version(reference: str) -> str:
    return reference.partition("/_history/")[0]


def code_of_gender(
    patient: SubjectPatient, field: str, genders: Mapping[str, int], observed: Sequence[ObservedField]
) -> float | BundleIssue | None:
    """Return the code of a field from gender or Observation, which must agree; None if both are absent."""
    gender, path = patient.resource.gender, f"{patient.path}.gender"
    if gender not in _GENDERS:
        text = f"{field}: must be male, female, other or unknown"
        return bundle_issue(RejectionCode.IMPOSSIBLE_CODE, path, text, field)
    reported = float(genders[gender]) if gender in genders else None
    own = observed[0].value if observed else None
    if reported is not None and own is not None and reported != own:
        text = f"{field}: gender and Observation are contradictory"
        return bundle_issue(RejectionCode.DUPLICATE_FIELD, path, text, field)
    return reported if own is None else own


class Age(msgspec.Struct, frozen=True):
    """Completed years, None if unknown, and how they were determined."""

    years: float | None
    note: str = ""


def age_of(
    patient: SubjectPatient,
    measure: Measure,
    observed: Mapping[str, Sequence[ObservedField]],
    today: dt.date,
    *,
    by_birth_date: bool = False,
    is_of_today: bool = False,
) -> Age | BundleIssue:
    """Return the age at the last Observation, of the field of `measure`.

    It is that of an Observation, or follows from the date of birth; both must agree. `by_birth_date`: from the date of
    birth if there are both. `is_of_today`: what follows from that is the age of today.
    """
    path, born, field = f"{patient.path}.birthDate", patient.resource.birth_date, measure.field
    own = observed.get(field, ())
    if not born:
        return Age(own[0].value if own else None)
    birth = days_of(born)
    if birth is None:
        return bundle_issue(RejectionCode.WRONG_TYPE, path, f"{field}: birthDate must be a date", field)
    if own:
        low, high = ages(birth, own[0].days or last_days(observed) or (today, today))
        if not low <= (own[0].value or 0) <= high:
            text = f"{field}: birthDate and Observation contradict each other"
            return bundle_issue(RejectionCode.DUPLICATE_FIELD, path, text, field)
        if not by_birth_date:
            return Age(own[0].value)
    last = None if is_of_today else last_days(observed)
    low, high = ages(birth, last or (today, today))
    if low != high:
        text = f"{field}: birthDate or last Observation date too imprecise; send full dates, or {measure.name}"
        return bundle_issue(RejectionCode.MISSING_VALUE, path, text, field)
    when = _day_of_age(observed, last, is_of_today=is_of_today)
    return Age(float(low), f"{field} is in completed years on {when}.")


def _day_of_age(observed: Mapping[str, Sequence[ObservedField]], last: Days | None, *, is_of_today: bool) -> str:
    if is_of_today:
        return "the day of this form"
    if last is None:
        return "the day of this assessment, as no Observation has a date"
    is_answer = any(one.is_answer and one.days and one.days[1] == last[1] for each in observed.values() for one in each)
    return f"the date of the last Observation{' or answer' if is_answer else ''}"


def last_days(observed: Mapping[str, Sequence[ObservedField]]) -> Days | None:
    """Return the date of the last Observation; None if none has a date."""
    days = [one.days for each in observed.values() for one in each if one.days]
    if not days:
        return None
    return max(first for first, _ in days), max(last for _, last in days)
