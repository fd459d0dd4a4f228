"""Opening a Bundle as a hospital sends it: of any size and type, with any other resources.

Only the Patient, and the Observations of fields, are decoded; everything else is counted. Entries are read in parts,
between which the event loop serves others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from api.limits.time_slices import split_records
from api.protocols.fhir.answers import ResponseParser, as_observation
from api.protocols.fhir.bundle import (
    BundleIssue,
    BundleResource,
    bundle_in,
    bundle_issue,
    check_members,
    check_type,
    decode,
)
from api.protocols.fhir.dates import instants_of
from api.protocols.fhir.latest import Candidate, candidates_of
from api.protocols.fhir.observations import ObservationParser, has_code
from schemas.errors import RejectionCode
from schemas.fhir.mapping import BUNDLE_TYPES, FASTED, UNUSABLE, FhirMapping
from schemas.fhir.requests import (
    SentConcept,
    SentEntry,
    SentHead,
    SentObservation,
    SentPatient,
    SentReference,
    SentResponse,
    SentSpecimen,
)

_MAX_OBJECTS: Final = 200_000
_MAX_COMMAS: Final = 800_000
"""Of a whole Bundle. 10 MiB of resources have fewer; as many are parsed in 20 ms, and make 25 MB of entries."""
_MAX_BYTES: Final = 2_097_152
_MAX_MARKS: Final = 30_000
"""Of one resource that is decoded; marks are commas and opening brackets. It takes 10 ms at most."""
_MAX_OBSERVATIONS: Final = 2_000
"""Observations of fields, of which some are chosen in one piece of work. A day of a value a minute has 1,440."""
_MAX_ISSUES: Final = 1_000
"""After which the rest of a Bundle is not read: each entry of a crafted one may have an issue."""
_DECODED: Final = ("Patient", "Observation", "Specimen", "QuestionnaireResponse")
_TWO: Final = 2
"""Patients that are decoded: a second one is an issue, whatever a third one is."""
_NEXT_PAGE: Final = "The Bundle is one page of a search: later pages, and newer Observations on them, were not sent."
_ELEMENTS: Final[Mapping[str, str]] = {"context": "STU3", "related": "STU3", "triggered_by": "R5"}
"""Elements that Observations have in one other version of FHIR than R4."""
_UNNAMED: Final = "A QuestionnaireResponse names no questionnaire, so its answers have no meaning and were not read."
_Resource = TypeVar("_Resource", SentPatient, SentObservation, SentResponse)


class OpenBundle(msgspec.Struct):
    """A Bundle, and what has been read of it.

    `is_cut` if it has so many issues that the rest is not read, `has_too_many` if it has too many Observations of the
    fields. `fasting` has the Specimens of patients who had fasted, and their full URLs, by reference; `versions` has
    the other versions of FHIR. `ambiguous` are Observations with codes of different fields. `subject` is that of the
    request for a form.
    """

    entries: tuple[SentEntry, ...]
    issues: list[BundleIssue]
    notes: list[str]
    patients: list[BundleResource] = []
    candidates: list[Candidate] = []
    fasting: dict[str, tuple[SentSpecimen, str]] = {}
    versions: set[str] = set()
    ambiguous: list[tuple[BundleResource, SentObservation]] = []
    other_resources: int = 0
    other_observations: int = 0
    other_answers: int = 0
    subject: SentReference = SentReference()
    is_cut: bool = False
    has_too_many: bool = False

    def slices(self) -> Iterator[range]:
        """Yield the entries to read at once."""
        start = 0
        for part in split_records([b"" if each.resource is UNSET else each.resource for each in self.entries]):
            yield range(start, start + len(part))
            start += len(part)


class BundleReader:
    """Reads the entries of a Bundle that may be of a field of a feature table."""

    def __init__(self, mapping: FhirMapping, parser: ObservationParser) -> None:
        self._parser = parser
        self._by_code = mapping.by_code
        self._codes = mapping.by_code.keys() | mapping.panels.keys()
        self._responses = ResponseParser(mapping, parser)

    def open(self, body: bytes, *, to_populate: bool = False) -> OpenBundle | BundleIssue:
        """Parse the Bundle itself, without its entries; an issue if it is none.

        `to_populate`: it may be in the Parameters of SDC's `$populate`.
        """
        if body.count(b"{") > _MAX_OBJECTS or body.count(b",") > _MAX_COMMAS:
            text = f"too large: at most {_MAX_OBJECTS} JSON objects and {_MAX_COMMAS} commas"
            return bundle_issue(RejectionCode.TOO_LARGE, "", text)
        bundle = bundle_in(body, to_populate=to_populate)
        if isinstance(bundle, BundleIssue):
            return bundle
        notes = [_NEXT_PAGE] if any(link.relation == "next" for link in bundle.link) else []
        subjects = (each.value_reference for each in bundle.parameter if to_populate and each.name == "subject")
        subject = next(subjects, SentReference())
        return OpenBundle(bundle.entry, [*check_type(bundle, BUNDLE_TYPES)], notes, subject=subject)

    def read(self, opened: OpenBundle, places: range) -> None:
        """Read some of the entries, until there are too many issues."""
        for place in places:
            if len(opened.issues) >= _MAX_ISSUES and not opened.is_cut:
                text = f"too many errors: what follows the first {_MAX_ISSUES} was not read"
                opened.issues.append(bundle_issue(RejectionCode.TOO_LARGE, "Bundle.entry", text))
                opened.is_cut = True
            if opened.is_cut:
                return
            entry, path = opened.entries[place], f"Bundle.entry[{place}].resource"
            if not isinstance(entry.resource, UnsetType):
                self._read_resource(opened, entry.full_url, entry.resource, path)

    def _read_resource(self, opened: OpenBundle, full_url: str, raw: msgspec.Raw, path: str) -> None:
        head = decode(raw, SentHead, path)
        if isinstance(head, BundleIssue):
            opened.issues.append(head)
        elif self._is_passed_over(opened, head):
            return
        elif issue := _size_issue(bytes(raw), path):
            opened.issues.append(issue)
        elif head.resource_type == "Observation":
            self._read_observation(opened, full_url, raw, path)
        elif head.resource_type == "Specimen":
            _read_specimen(opened, full_url, raw, path)
        elif head.resource_type == "QuestionnaireResponse":
            self._read_response(opened, full_url, raw, path)
        elif len(opened.patients) < _TWO:
            patient = _decode_resource(raw, SentPatient, path)
            if isinstance(patient, BundleIssue):
                opened.issues.append(patient)
            else:
                opened.patients.append(BundleResource(path, full_url, patient))

    def _is_passed_over(self, opened: OpenBundle, head: SentHead) -> bool:
        """Return whether a resource is of no field, and count it."""
        if head.resource_type == "Observation" and self._is_other(head.code):
            opened.other_observations += 1
            return True
        is_other = head.resource_type not in _DECODED
        if head.resource_type == "QuestionnaireResponse":
            is_other = self._is_of_another_form(head.questionnaire, opened)
        opened.other_resources += is_other
        return is_other

    def _is_other(self, code: msgspec.Raw | UnsetType) -> bool:
        """Return whether an Observation is of no field, whatever its size. A code that cannot be read may be of one."""
        if isinstance(code, UnsetType):
            return True
        if _size_issue(bytes(code), ""):
            return False
        concept = decode(code, SentConcept, "")
        return isinstance(concept, SentConcept) and not has_code(concept, self._codes)

    def _read_observation(self, opened: OpenBundle, full_url: str, raw: msgspec.Raw, path: str) -> None:
        """Decode an Observation that has a code of a field or of a panel."""
        if _has_too_many(opened):
            return
        observation = _decode_resource(raw, SentObservation, path)
        if isinstance(observation, BundleIssue):
            opened.issues.append(observation)
            return
        part = BundleResource(path, full_url, observation)
        found = candidates_of(self._parser, part, observation)
        opened.candidates += found
        opened.versions |= {each for name, each in _ELEMENTS.items() if getattr(observation, name) is not UNSET}
        if not found and has_code(observation.code, self._by_code):
            opened.ambiguous.append((part, observation))
        elif not found:
            # A panel without a component of a field: its members are Observations of their own.
            opened.other_observations += 1

    def _is_of_another_form(self, questionnaire: msgspec.Raw | UnsetType, opened: OpenBundle) -> bool:
        """Return whether a response is to another questionnaire, or to an unknown one, which is noted.

        One whose questionnaire cannot be read may be to this.
        """
        if isinstance(questionnaire, UnsetType):
            head: SentResponse | BundleIssue = SentResponse()
        elif _size_issue(bytes(questionnaire), ""):
            return False
        else:
            head = decode(b'{"questionnaire":' + bytes(questionnaire) + b"}", SentResponse, "")
        if isinstance(head, BundleIssue):
            return False
        if not head.canonical and _UNNAMED not in opened.notes:
            opened.notes.append(_UNNAMED)
        return not self._responses.is_own(head.canonical)

    def _read_response(self, opened: OpenBundle, full_url: str, raw: msgspec.Raw, path: str) -> None:
        """Decode a response to the form of the feature table."""
        if _has_too_many(opened):
            return
        response = _decode_resource(raw, SentResponse, path)
        if isinstance(response, BundleIssue):
            opened.issues.append(response)
            return
        part = BundleResource(path, full_url, response)
        observation, when = as_observation(response), instants_of(response.authored)
        is_other = self._responses.is_other_version(response.canonical)
        reason = "as it is of another version of the questionnaire" if is_other else ""
        answers = self._responses.answers(response, path)
        if isinstance(answers, BundleIssue):
            opened.issues.append(answers)
            return
        opened.other_answers += len(answers.others)
        opened.candidates += [
            Candidate(part, observation, each, response.authored, when, reason) for each in answers.elements
        ]


def _has_too_many(opened: OpenBundle) -> bool:
    """Return whether no more values of fields are read, and say so once."""
    if len(opened.candidates) + len(opened.ambiguous) < _MAX_OBSERVATIONS:
        return False
    text = f"too many Observations of the fields: at most {_MAX_OBSERVATIONS}"
    issue = bundle_issue(RejectionCode.TOO_LARGE, "Bundle.entry", text)
    opened.issues.extend([] if opened.has_too_many else [issue])
    opened.has_too_many = True
    return True


def _read_specimen(opened: OpenBundle, full_url: str, raw: msgspec.Raw, path: str) -> None:
    """Note whether the patient had fasted; whatever else is wrong with a Specimen does not matter."""
    opened.other_resources += 1
    specimen = decode(raw, SentSpecimen, path)
    if isinstance(specimen, BundleIssue) or specimen.status in UNUSABLE:
        return
    if specimen.modifier_extension is not UNSET or specimen.implicit_rules is not UNSET:
        return
    if has_code(specimen.collection.fasting_status_codeable_concept, FASTED):
        names = {full_url, f"Specimen/{specimen.id}"} - {""}
        opened.fasting |= dict.fromkeys(names, (specimen, full_url))


def _size_issue(content: bytes, path: str) -> BundleIssue | None:
    if len(content) <= _MAX_BYTES and sum(map(content.count, (b",", b"[", b"{"))) <= _MAX_MARKS:
        return None
    text = f"too large: at most {_MAX_BYTES} bytes, and {_MAX_MARKS} commas and brackets"
    return bundle_issue(RejectionCode.TOO_LARGE, path, text)


def _decode_resource(raw: msgspec.Raw, kind: type[_Resource], path: str) -> _Resource | BundleIssue:
    """Decode a resource whose objects have each member once."""
    issue = check_members(bytes(raw), path)
    return decode(raw, kind, path) if issue is None else issue
