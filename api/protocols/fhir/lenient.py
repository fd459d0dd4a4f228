"""Parsing a Bundle as a hospital sends it into a patient record: the default reading.

It takes the latest valid Observation of each field, and says what it passed over; what it cannot understand of those is
an error, as in the strict reading.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import msgspec

from api.protocols.fhir.bundle import BundleIssue, bundle_issue
from api.protocols.fhir.latest import Chosen, LatestObservations, PassedOver, age_notes
from api.protocols.fhir.lenient_bundle import BundleReader, OpenBundle
from api.protocols.fhir.observations import ObservationParser, ObservedField
from api.protocols.fhir.parse import BundleParser, ParsedBundle, ParseState, RefusedBundle
from schemas.errors import RejectionCode
from schemas.fhir.mapping import FhirMapping
from schemas.record_format import RecordFormat


class Reading(msgspec.Struct, frozen=True):
    """What a Bundle was read as, the Observations used, and what was passed over: by field, and other resources.

    `other_answers` are those of questions that are not fields, in QuestionnaireResponses that were read.
    """

    result: ParsedBundle | RefusedBundle
    used: tuple[ObservedField, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    other_observations: int = 0
    other_resources: int = 0
    other_answers: int = 0


class LenientParser:
    """Parses Bundles into records of a feature table."""

    def __init__(self, mapping: FhirMapping, records: RecordFormat, lookback_days: int = 0) -> None:
        """`records` is the format of the mapping's table. Without `lookback_days`, Observations of any age are used."""
        self._parser = ObservationParser(mapping, lenient=True)
        self._builder = BundleParser(mapping, records)
        self._lookback_days = lookback_days
        reader = BundleReader(mapping, self._parser)
        self.open, self.read = reader.open, reader.read

    def parse(self, body: bytes, today: dt.date) -> Reading:
        """Return the patient record of a Bundle, or every error in it."""
        opened = self.open(body)
        if isinstance(opened, OpenBundle):
            for places in opened.slices():
                self.read(opened, places)
        return self.finish(opened, today)

    def finish(self, opened: OpenBundle | BundleIssue, today: dt.date, *, to_populate: bool = False) -> Reading:
        """Return the same for a Bundle whose entries have been read. `to_populate`: what it has of a record."""
        if isinstance(opened, BundleIssue):
            return Reading(RefusedBundle((opened.issue,)))
        if opened.is_cut:
            # Nothing is said of what may be missing: it may follow.
            return Reading(RefusedBundle(tuple(each.issue for each in opened.issues), tuple(opened.notes)))
        state = ParseState(opened.issues, notes=opened.notes, ages_by_birth_date=True, to_populate=to_populate)
        state.take_patients(opened.patients)
        if opened.subject.reference and state.patient and not state.patient.is_referenced_by(opened.subject, ""):
            text = "subject must refer to the Patient of the Bundle, or be left out"
            state.issues.append(bundle_issue(RejectionCode.IMPOSSIBLE_CODE, "Parameters.parameter", text))
        latest = LatestObservations(self._parser, state.patient, opened.fasting, today, self._lookback_days)
        for part, observation in opened.ambiguous:
            if latest.reason_of(observation, part.full_url):
                opened.other_observations += 1
            else:
                text = "has codes of different fields; send one of them"
                state.issues.append(bundle_issue(RejectionCode.UNKNOWN_FIELD, f"{part.path}.code", text))
        chosen = latest.choose(opened.candidates)
        state.observed, state.subject = chosen.observed, chosen.subject or state.subject
        state.issues.extend(chosen.issues)
        used = tuple(each for found in chosen.observed.values() for each in found)
        state.notes.extend((*age_notes(used, today), *_notes(chosen, opened)))
        result = self._builder.build(state, today)
        others = opened.other_observations, opened.other_resources, opened.other_answers
        return Reading(result, used, tuple(chosen.passed_over), *others)


def _notes(chosen: Chosen, opened: OpenBundle) -> Iterator[str]:
    yield from (each.note for each in chosen.passed_over)
    if opened.other_observations or opened.other_resources:
        others = f"{opened.other_observations} Observations of other codes, {opened.other_resources} other resources"
        yield f"Passed over: {others}."
    if opened.other_answers:
        yield f"Passed over: {opened.other_answers} answers to questions that are not in the questionnaire."
    for version in sorted(opened.versions):
        yield f"Some Observations have elements of FHIR {version}: those that are read are the same in R4."
