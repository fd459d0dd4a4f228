"""Parsing a Bundle into a patient record, or into every issue found in it."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec
from msgspec import UnsetType

from api.protocols.fhir.answers import ResponseParser
from api.protocols.fhir.bundle import BundleIssue, BundleResource, bundle_issue, parse_bundle
from api.protocols.fhir.observations import ObservationParser, ObservedField
from api.protocols.fhir.patient import SubjectPatient, age_of, code_of_gender, find_patient, last_days, patient_issues
from api.protocols.inference import encode_record
from schemas.errors import RejectionCode, ValidationIssue
from schemas.fhir.mapping import FhirMapping
from schemas.fhir.requests import SentObservation, SentReference, SentResponse
from schemas.record_format import RecordFormat
from schemas.records import PatientRecord
from schemas.tables.feature_table import PATIENT_ID

_TOMORROW: Final = dt.timedelta(days=1)
"""An Observation of tomorrow is valid: in some time zone it is tomorrow already."""
_PLACEHOLDER_ID: Final = "nobody"
"""The id if there is no Patient, so that everything else can be validated."""


class ParsedBundle(msgspec.Struct, frozen=True):
    """A patient record as JSON, and what the response needs besides its score.

    `observed` are the Observations that were used, `paths` has the FHIRPath of each field that was sent. `day` is that
    of the last Observation, which the risk is for; today if none has a date.
    """

    record: bytes
    subject: str
    observed: tuple[ObservedField, ...]
    notes: tuple[str, ...]
    paths: Mapping[str, str]
    day: dt.date

    def issues_of(self, issues: Sequence[ValidationIssue]) -> tuple[ValidationIssue, ...]:
        """Map errors of the record to errors of the Bundle."""
        return tuple(_locate(issue, self.paths) for issue in issues)


class RefusedBundle(msgspec.Struct, frozen=True):
    """Every error of a Bundle (never empty), and what was passed over."""

    issues: tuple[ValidationIssue, ...]
    notes: tuple[str, ...] = ()


class ParseState(msgspec.Struct):
    """What has been parsed of a Bundle so far.

    With `ages_by_birth_date`, an Observation of the age, which may be old, is only compared with the date of birth.
    `to_populate`: the values fill a form in, which is answered today; what is missing is not an error.
    """

    issues: list[BundleIssue]
    patient: SubjectPatient | None = None
    observed: dict[str, list[ObservedField]] = {}
    subject: str = ""
    notes: list[str] = []
    ages_by_birth_date: bool = False
    to_populate: bool = False

    def take_patients(self, parts: Sequence[BundleResource]) -> None:
        """Find the Patient: there must be exactly one, who can be scored."""
        patient = find_patient(parts)
        if isinstance(patient, BundleIssue):
            self.issues.append(patient)
            return
        self.patient, self.subject = patient, patient.reference
        self.issues.extend(patient_issues(patient))


class BundleParser:
    """Parses Bundles into records of a feature table."""

    def __init__(self, mapping: FhirMapping, records: RecordFormat) -> None:
        """`records` is the format of the mapping's table."""
        self._names, self._features = mapping.table.names, mapping.table.by_name
        self._operation = mapping.operation
        self._age = next((each for each in mapping.measures if each.field == mapping.operation.age), None)
        self._observations = ObservationParser(mapping)
        self._responses = ResponseParser(mapping, self._observations)
        self._records = records

    def parse(self, body: bytes, today: dt.date) -> ParsedBundle | RefusedBundle:
        """Return the patient record of a Bundle, or every error in it."""
        return self.parse_resources(parse_bundle(body), today)

    def parse_resources(
        self,
        parts: Sequence[BundleResource | BundleIssue] | BundleIssue,
        today: dt.date,
        *,
        to_populate: bool = False,
    ) -> ParsedBundle | RefusedBundle:
        """Return the same for the resources of a Bundle. Separate, as each of the two steps takes up to 10 ms."""
        if isinstance(parts, BundleIssue):
            return RefusedBundle((parts.issue,))
        state = ParseState([part for part in parts if isinstance(part, BundleIssue)], to_populate=to_populate)
        resources = [part for part in parts if isinstance(part, BundleResource)]
        state.take_patients(resources)
        self._observe(resources, state, today)
        return self.build(state, today)

    def _observe(self, parts: Sequence[BundleResource], state: ParseState, today: dt.date) -> None:
        """Parse the Observations and answers, by field; those of one field must agree."""
        found: defaultdict[str, list[ObservedField]] = defaultdict(list)
        for part in parts:
            if isinstance(part.resource, SentObservation):
                issue = _subject_issue(part, part.resource.subject, state)
                for parsed in [issue] if issue else self._observations.parse(part, part.resource):
                    _add(parsed, part, state.issues, found, today)
            elif isinstance(part.resource, SentResponse):
                answers = [*self._responses.parse(part, part.resource)]
                issue = _subject_issue(part, part.resource.subject, state) if answers else None
                for parsed in [issue] if issue else answers:
                    _add(parsed, part, state.issues, found, today)
        for field, observed in found.items():
            if len({each.value for each in observed}) > 1:
                what = "Observations or answers" if any(each.is_answer for each in observed) else "Observations"
                text = f"{field}: contradictory {what}; send only the relevant one"
                state.issues.append(bundle_issue(RejectionCode.DUPLICATE_FIELD, observed[-1].path, text, field))
        state.observed = found

    def build(self, state: ParseState, today: dt.date) -> ParsedBundle | RefusedBundle:
        """Build the record of what has been parsed, if there are no issues."""
        numbers = {field: observed[0].value for field, observed in state.observed.items()}
        paths = {field: observed[0].path for field, observed in state.observed.items()}
        notes = [each.note for observed in state.observed.values() for each in observed if each.note]
        if (patient := state.patient) is not None:
            paths = {PATIENT_ID: patient.path, **self._patient_paths(patient), **paths}
            self._take_patient(patient, state, today, numbers, notes)
        values = {field: self._features[field].as_sent(value) for field, value in numbers.items()}
        record = encode_record(
            {PATIENT_ID: patient.id if patient else _PLACEHOLDER_ID, **dict.fromkeys(self._names), **values}
        )
        if state.issues or state.to_populate:
            absent = {name for name in self._names if values.get(name) is None} if state.to_populate else set[str]()
            if issues := tuple(self._all_issues(state, record, paths, absent)):
                return RefusedBundle(issues, tuple(state.notes))
        used = tuple(each for name in self._names for each in state.observed.get(name, ()))
        last = last_days(state.observed)
        day = min(today, last[1]) if last else today
        return ParsedBundle(record, state.subject, used, tuple(dict.fromkeys((*notes, *state.notes))), paths, day)

    def _patient_paths(self, patient: SubjectPatient) -> dict[str, str]:
        sources = {self._operation.age: "birthDate", self._operation.gender: "gender"}
        return {field: f"{patient.path}.{element}" for field, element in sources.items() if field}

    def _take_patient(
        self,
        patient: SubjectPatient,
        state: ParseState,
        today: dt.date,
        numbers: dict[str, float | None],
        notes: list[str],
    ) -> None:
        """Add the fields that follow from the Patient."""
        field = self._operation.gender
        if field:
            code = code_of_gender(patient, field, self._operation.genders, state.observed.get(field, ()))
            if isinstance(code, BundleIssue):
                state.issues.append(code)
            else:
                numbers[field] = code
        if self._age is None:
            return
        age = age_of(
            patient,
            self._age,
            state.observed,
            today,
            by_birth_date=state.ages_by_birth_date or state.to_populate,
            is_of_today=state.to_populate,
        )
        if isinstance(age, BundleIssue):
            state.issues.append(age)
        else:
            numbers[self._age.field] = age.years
            notes.extend([age.note] if age.note else [])

    def _all_issues(
        self, state: ParseState, record: bytes, paths: Mapping[str, str], absent: AbstractSet[str]
    ) -> Iterator[ValidationIssue]:
        """Yield the errors of the Bundle, and those of the fields of its record but what is `absent`."""
        yield from (each.issue for each in state.issues)
        excluded = {each.field for each in state.issues} | absent
        if state.patient is None:
            excluded |= {self._operation.age, self._operation.gender}
        validated = self._records.validate(record)
        if not isinstance(validated, PatientRecord):
            yield from (_locate(issue, paths) for issue in validated if issue.pointer[1:] not in excluded)


def _add(
    parsed: ObservedField | BundleIssue,
    part: BundleResource,
    issues: list[BundleIssue],
    found: defaultdict[str, list[ObservedField]],
    today: dt.date,
) -> None:
    """Add what was parsed to the issues or the fields; a value that was not measured to neither."""
    if isinstance(parsed, ObservedField) and parsed.days and parsed.days[0] > today + _TOMORROW:
        text = f"{parsed.field}: must not be in the future"
        path = f"{part.path}.{'authored' if parsed.is_answer else 'effective'}"
        parsed = bundle_issue(RejectionCode.OUT_OF_RANGE, path, text, parsed.field)
    if isinstance(parsed, BundleIssue):
        issues.append(parsed)
    elif parsed.value is not None:
        found[parsed.field].append(parsed)


def _subject_issue(part: BundleResource, subject: SentReference | UnsetType, state: ParseState) -> BundleIssue | None:
    """Return an issue if an Observation or response has another subject than the Patient; it may have none."""
    if state.patient is None or isinstance(subject, UnsetType):
        return None
    if not state.patient.is_referenced_by(subject, part.full_url):
        text = "must refer to the Patient of the Bundle, or be left out"
        return bundle_issue(RejectionCode.IMPOSSIBLE_CODE, f"{part.path}.subject", text)
    state.subject = subject.reference
    return None


def _locate(issue: ValidationIssue, paths: Mapping[str, str]) -> ValidationIssue:
    """Return an error of the record with its FHIRPath in the Bundle."""
    field = issue.pointer[1:]
    return ValidationIssue(
        issue.code, paths.get(field, "Bundle"), f"{field}: {issue.message}" if field else issue.message
    )
