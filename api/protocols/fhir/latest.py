"""Choosing the Observation of each field: the latest that is valid. Whatever is passed over is said, with its date."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType

from api.protocols.fhir.bundle import BundleIssue, BundleResource, bundle_issue
from api.protocols.fhir.dates import Instants, days_of, instants_of
from api.protocols.fhir.observations import ObservationParser, ObservedField, ValueElement, effective_of, has_code
from api.protocols.fhir.patient import SubjectPatient
from schemas.errors import RejectionCode
from schemas.fhir.mapping import FASTED, FASTING_STATUS, FINAL
from schemas.fhir.requests import SentConcept, SentObservation, SentReference, SentSpecimen, SentValue

_STATUSES: Final = (
    *("registered", "preliminary", "cancelled", "entered-in-error", "unknown"),
    *("in-progress", "stopped"),
)
"""Of Observations, and of QuestionnaireResponses."""
_DATES_SHOWN: Final = 3
_TOMORROW: Final = dt.timedelta(days=1)
_UNDATED: Final = "without a date"
ANSWER: Final = "questionnaire response"
"""What notes call the source of an answer."""


class Candidate(msgspec.Struct, frozen=True):
    """An element of an Observation that may be the value of its field; `when` is None if it has no valid date.

    An answer of a QuestionnaireResponse is the same. `reason` says why it must be passed over; empty if nothing does.
    """

    part: BundleResource
    observation: SentObservation
    element: ValueElement
    effective: str
    when: Instants | None
    reason: str = ""

    @property
    def date(self) -> str:
        """Its day, for a note."""
        day = self.effective.partition("T")[0] if self.when else _UNDATED
        return f"{day} ({ANSWER})" if self.element.is_answer else day


class PassedOver(msgspec.Struct, frozen=True):
    """Observations of a field that are not used, why, and their dates, latest first."""

    field: str
    reason: str
    dates: tuple[str, ...]

    @property
    def note(self) -> str:
        """Say so."""
        shown, more = ", ".join(self.dates[:_DATES_SHOWN]), len(self.dates) - _DATES_SHOWN
        return f"{self.field}: passed over, {self.reason}: {shown}{f' and {more} more' if more > 0 else ''}."


class Chosen(msgspec.Struct):
    """The Observations that are used, by field; what is wrong with them; and what was passed over."""

    observed: dict[str, list[ObservedField]] = {}
    issues: list[BundleIssue] = []
    passed_over: list[PassedOver] = []
    subject: str = ""


def candidates_of(parser: ObservationParser, part: BundleResource, observation: SentObservation) -> list[Candidate]:
    """Return the elements of an Observation that may be values of fields."""
    effective = effective_of(observation)
    when = instants_of(effective)
    return [Candidate(part, observation, each, effective, when) for each in parser.elements(observation, part.path)]


class LatestObservations:
    """Chooses among the Observations of a patient.

    `fasting` has the Specimens of patients who had fasted, and their full URLs, by reference; without `lookback_days`,
    Observations of any age are used.
    """

    def __init__(
        self,
        parser: ObservationParser,
        patient: SubjectPatient | None,
        fasting: Mapping[str, tuple[SentSpecimen, str]],
        today: dt.date,
        lookback_days: int,
    ) -> None:
        self._parser = parser
        self._patient = patient
        self._fasting = fasting
        self._latest_day = today + _TOMORROW
        self._earliest_day = today - dt.timedelta(days=lookback_days) if lookback_days else dt.date.min
        self._lookback_days = lookback_days

    def choose(self, candidates: Sequence[Candidate]) -> Chosen:
        """Choose one of each field, or several of the same time and value."""
        chosen = Chosen()
        valid: defaultdict[str, list[Candidate]] = defaultdict(list)
        passed: defaultdict[tuple[str, str], list[Candidate]] = defaultdict(list)
        for each in candidates:
            field = each.element.measure.field
            if reason := self._reason(each):
                passed[field, reason].append(each)
            else:
                valid[field].append(each)
        for field, found in valid.items():
            latest = _latest(found)
            self._use(field, latest, chosen)
            used = set(map(id, latest))
            for each in found:
                if id(each) not in used:
                    passed[field, "as it is not the latest" if each.when else "as others have a date"].append(each)
        chosen.passed_over = [_passed_over(*key, found) for key, found in passed.items()]
        return chosen

    def _use(self, field: str, latest: Sequence[Candidate], chosen: Chosen) -> None:
        parsed = [self._parser.value_of(each.part, each.element, days_of(each.effective)) for each in latest]
        chosen.issues.extend(each for each in parsed if isinstance(each, BundleIssue))
        observed = [each for each in parsed if isinstance(each, ObservedField)]
        if len({each.value for each in observed}) > 1:
            what = "Observations or answers" if any(each.is_answer for each in observed) else "Observations"
            text = f"{field}: {what} of the same time contradict each other; send only the relevant one"
            chosen.issues.append(bundle_issue(RejectionCode.DUPLICATE_FIELD, observed[-1].path, text, field))
        if observed:
            chosen.observed[field] = observed
        for each in latest:
            if not isinstance(each.observation.subject, UnsetType):
                chosen.subject = each.observation.subject.reference

    def _reason(self, each: Candidate) -> str:
        """Return why an element of an Observation is passed over; empty if it is not."""
        reason = each.reason or self.reason_of(each.observation, each.part.full_url)
        return reason or self._reason_of_date(each) or self._reason_of_value(each)

    def reason_of(self, observation: SentObservation, full_url: str) -> str:
        """Return why an Observation is passed over, whatever its date and value; empty if it is not for that."""
        if observation.status not in FINAL:
            status = observation.status if observation.status in _STATUSES else "missing or invalid"
            return f"as its status is {status}"
        if observation.modifier_extension is not UNSET or observation.implicit_rules is not UNSET:
            return "as it has a modifierExtension or implicitRules, which may change its meaning"
        if observation.focus is not UNSET:
            return "as it is about its focus, not about the Patient"
        if self._is_of_another(observation.subject, full_url):
            return "as its subject is not the Patient of the Bundle"
        return ""

    def _is_of_another(self, subject: SentReference | UnsetType, full_url: str) -> bool:
        if self._patient is None or isinstance(subject, UnsetType):
            return False
        return not self._patient.is_referenced_by(subject, full_url)

    def _reason_of_date(self, each: Candidate) -> str:
        days = days_of(each.effective)
        if each.effective and days is None:
            return "as its date is invalid"
        if days is None:
            return "as its age is unknown" if self._lookback_days else ""
        first, last = days
        if first > self._latest_day:
            return "as its date is in the future"
        return f"as it is older than {self._lookback_days} days" if last < self._earliest_day else ""

    def _reason_of_value(self, each: Candidate) -> str:
        if each.element.is_absent and not each.element.is_repeated:
            return "as it has no value"
        if each.element.measure.fasting and not self._is_fasting(each.observation):
            return "as nothing says that the patient had fasted"
        return ""

    def _is_fasting(self, observation: SentObservation) -> bool:
        """Return whether a component or the Specimen says that the patient had fasted."""
        specimen, full_url = self._fasting.get(observation.specimen.reference, (None, ""))
        if specimen and not self._is_of_another(specimen.subject, full_url):
            return True
        return any(
            has_code(component.code, (FASTING_STATUS,)) and _is_yes(component) for component in observation.component
        )


def _is_yes(component: SentValue) -> bool:
    concept = component.value_codeable_concept
    return component.value_boolean is True or (isinstance(concept, SentConcept) and has_code(concept, FASTED))


def _latest(found: Sequence[Candidate]) -> list[Candidate]:
    """Return the latest; all that may be the latest, as dates can be years or months or equal, or have no zone.

    Dates without a zone are compared as those of one clock.
    """
    dated = [(each, each.when) for each in found if each.when]
    if not dated:
        return list(found)
    start = max(when.first for _, when in dated)
    starts = [when.local[0] for _, when in dated if when.local]
    local_start = max(starts) if starts else dt.datetime.combine(dt.date.min, dt.time.min)
    return [each for each, when in dated if when.last >= start and (when.local is None or when.local[1] >= local_start)]


def _passed_over(field: str, reason: str, found: Sequence[Candidate]) -> PassedOver:
    return PassedOver(field, reason, tuple(sorted((each.date for each in found), reverse=True)))


def age_notes(observed: Sequence[ObservedField], today: dt.date) -> Iterator[str]:
    """Say of which day each value is, and how old it is."""
    dated = {each.field: _when(*each.days, today, is_answer=each.is_answer) for each in observed if each.days}
    if dated:
        yield f"Used: {', '.join(f'{field} of {when}' for field, when in dated.items())}."


def _when(first: dt.date, last: dt.date, today: dt.date, *, is_answer: bool) -> str:
    day = first.isoformat() if first == last else f"{first} to {last}"
    return f"{day} ({f'{ANSWER}, ' if is_answer else ''}{max(0, (today - last).days)} days old)"
