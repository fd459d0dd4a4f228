"""A Bundle as a patient record: what was found, about whom, when; or everything that is wrong."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import UnsetType

from api.protocols.fhir.bundle import Complaint, Part, complaint, parts_of
from api.protocols.fhir.observations import Observed, observed_in
from api.protocols.fhir.patient import Person, age_of, person_of, sex_of
from api.protocols.inference import written
from schemas.errors import RejectionCode, ValidationIssue
from schemas.features import FEATURE_NAMES
from schemas.fhir.requests import SentObservation, SentReference
from schemas.records import PatientRecord
from schemas.validation import validate

_TOMORROW: Final = dt.timedelta(days=1)
"""Where it is already tomorrow, an Observation of that day is no mistake."""
_NOBODY: Final = "nobody"
"""Stands for the id of a Patient who is not there, so that all else can be looked at."""


class Reading(msgspec.Struct, frozen=True):
    """A patient record as JSON, and what is to be told beside its score.

    `observed` are those that were used, `places` the FHIRPath of each field that was sent.
    """

    record: bytes
    subject: str
    observed: tuple[Observed, ...]
    notes: tuple[str, ...]
    places: Mapping[str, str]

    def faults_of(self, faults: Sequence[ValidationIssue]) -> tuple[ValidationIssue, ...]:
        """Return what is wrong with the record as what is wrong with the Bundle that it was made of."""
        return tuple(_placed(fault, self.places) for fault in faults)


class _Work(msgspec.Struct):
    """What is known so far of a Bundle."""

    complaints: list[Complaint]
    person: Person | None
    observed: dict[str, list[Observed]]
    subject: str = ""


def read(body: bytes, today: dt.date) -> Reading | tuple[ValidationIssue, ...]:
    """Return the patient record that a Bundle holds, or every fault that can be found in it (never empty)."""
    return read_parts(parts_of(body), today)


def read_parts(parts: Sequence[Part | Complaint] | Complaint, today: dt.date) -> Reading | tuple[ValidationIssue, ...]:
    """Do the second half of it, given what the Bundle was taken apart into: each half takes some 10 ms at most."""
    if isinstance(parts, Complaint):
        return (parts.fault,)
    work = _Work([part for part in parts if isinstance(part, Complaint)], None, {})
    sound = [part for part in parts if isinstance(part, Part)]
    person = person_of(sound)
    if isinstance(person, Complaint):
        work.complaints.append(person)
    else:
        work.person, work.subject = person, person.reference
    _observe(sound, work, today)
    return _put_together(work, today)


def _observe(parts: Sequence[Part], work: _Work, today: dt.date) -> None:
    """Find out what the Observations tell, by field; those of one field must agree."""
    found: defaultdict[str, list[Observed]] = defaultdict(list)
    for part in parts:
        if isinstance(part.resource, SentObservation):
            one = _of_another(part.at, part.resource.subject, work) or observed_in(part, part.resource)
            if isinstance(one, Observed) and one.days and one.days[0] > today + _TOMORROW:
                text = f"{one.field}: lies in the future"
                one = complaint(RejectionCode.OUT_OF_RANGE, f"{part.at}.effective", text, one.field)
            if isinstance(one, Complaint):
                work.complaints.append(one)
            elif one.value is not None:
                found[one.field].append(one)
    for field, observed in found.items():
        if len({one.value for one in observed}) > 1:
            text = f"{field}: Observations contradict each other; send the one that counts"
            work.complaints.append(complaint(RejectionCode.DUPLICATE_FIELD, observed[-1].at, text, field))
    work.observed = found


def _of_another(at: str, subject: SentReference | UnsetType, work: _Work) -> Complaint | None:
    """Complain about an Observation of somebody else. One without a subject is the patient's."""
    if work.person is None or isinstance(subject, UnsetType):
        return None
    if not work.person.is_meant_by(subject):
        text = "must refer to the Patient of the Bundle, or be left out"
        return complaint(RejectionCode.IMPOSSIBLE_CODE, f"{at}.subject", text)
    work.subject = subject.reference
    return None


def _put_together(work: _Work, today: dt.date) -> Reading | tuple[ValidationIssue, ...]:
    numbers = {field: observed[0].value for field, observed in work.observed.items()}
    places = {field: observed[0].at for field, observed in work.observed.items()}
    notes = [one.note for observed in work.observed.values() for one in observed if one.note]
    if (person := work.person) is not None:
        places = {"patient_id": person.at, "age": f"{person.at}.birthDate", "sex": f"{person.at}.gender", **places}
        sex, age = sex_of(person, work.observed.get("sex", ())), age_of(person, work.observed, today)
        if isinstance(sex, Complaint):
            work.complaints.append(sex)
        else:
            numbers["sex"] = sex
        if isinstance(age, Complaint):
            work.complaints.append(age)
        else:
            numbers["age"] = age.years
            notes.extend([age.note] if age.note else [])
    record = written({"patient_id": person.id if person else _NOBODY, **dict.fromkeys(FEATURE_NAMES), **numbers})
    if work.complaints:
        return tuple(_all_faults(work, record, places))
    used = tuple(one for name in FEATURE_NAMES for one in work.observed.get(name, ()))
    return Reading(record, work.subject, used, tuple(dict.fromkeys(notes)), places)


def _all_faults(work: _Work, record: bytes, places: Mapping[str, str]) -> Iterator[ValidationIssue]:
    """Yield what is wrong with the Bundle, and with that part of its record which could be told."""
    yield from (each.fault for each in work.complaints)
    untold = {each.field for each in work.complaints}
    if work.person is None:
        untold |= {"age", "sex"}
    examined = validate(record)
    if not isinstance(examined, PatientRecord):
        yield from (_placed(fault, places) for fault in examined if fault.pointer[1:] not in untold)


def _placed(fault: ValidationIssue, places: Mapping[str, str]) -> ValidationIssue:
    """Say where in the Bundle a fault of the record comes from."""
    field = fault.pointer[1:]
    return ValidationIssue(
        fault.code, places.get(field, "Bundle"), f"{field}: {fault.message}" if field else fault.message
    )
