"""Reading a QuestionnaireResponse of the form that the feature table has: its answers, as values of fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec import UNSET

from api.protocols.fhir.bundle import BundleIssue, BundleResource, bundle_issue
from api.protocols.fhir.dates import days_of
from api.protocols.fhir.observations import ObservationParser, ObservedField, ValueElement
from schemas.errors import RejectionCode
from schemas.fhir.mapping import ANSWERED, UCUM, FhirMapping, Measure
from schemas.fhir.requests import (
    Optional,
    SentAnswer,
    SentCoding,
    SentConcept,
    SentItem,
    SentObservation,
    SentQuantity,
    SentResponse,
    SentValue,
)

_MAX_ITEMS: Final = 1_000
"""Of a response. A form has as many as the table has fields; those of 10,000 would take 40 ms."""
_UNFINISHED: Final = ("in-progress", "stopped", "entered-in-error")
_VALUES: Final = tuple(field.name for field in msgspec.structs.fields(SentAnswer) if field.name.startswith("value_"))
_SAME: Final[frozenset[str]] = frozenset({"value_quantity", "value_boolean", "value_integer"})
"""Types that Observations have as well."""
_PRESENT: Final = msgspec.Raw(b"null")
_OTHER_TYPE: Final = SentValue(value_string=_PRESENT)
_SEVERAL: Final = SentValue(value_string=_PRESENT, value_time=_PRESENT)


class Answers(msgspec.Struct, frozen=True):
    """The answers of a QuestionnaireResponse, and the FHIRPaths of answered questions that are not fields."""

    elements: tuple[ValueElement, ...]
    others: tuple[str, ...]


class ResponseParser:
    """Reads QuestionnaireResponses of the form of a feature table."""

    def __init__(self, mapping: FhirMapping, observations: ObservationParser) -> None:
        self._mapping = mapping
        self._observations = observations
        self._own = {each: mapping.by_code[mapping.system, each] for each in mapping.table.names}

    def is_own(self, canonical: str) -> bool:
        """Return whether a questionnaire is the form, of any version, whatever name its gateway was called by."""
        return canonical.partition("|")[0].endswith(self._mapping.questionnaire_path)

    def is_other_version(self, canonical: str) -> bool:
        """Return whether a response to the form says that it is of another version of the feature table."""
        _, bar, version = canonical.partition("|")
        return bool(bar) and version != self._mapping.table.version

    def answers(self, response: SentResponse, path: str) -> Answers | BundleIssue:
        """Return the answers, in the order of the response. Groups may be nested, also in answers."""
        found: dict[str, list[tuple[_Placed, int]]] = {}
        others: list[str] = []
        for count, placed in enumerate(_items(response, path)):
            if count == _MAX_ITEMS:
                text = f"too many items: at most {_MAX_ITEMS}"
                return bundle_issue(RejectionCode.TOO_LARGE, f"{path}.item", text)
            item = placed.item
            if item.link_id not in self._own:
                others += [placed.path] if item.answer else []
                continue
            for number, answer in enumerate(item.answer):
                if _has_value(answer):
                    found.setdefault(item.link_id, []).append((placed, number))
        elements = (_element(self._own[link_id], given) for link_id, given in found.items())
        return Answers(tuple(elements), tuple(others))

    def parse(self, part: BundleResource, response: SentResponse) -> Iterator[ObservedField | BundleIssue]:
        """Yield the fields of a response, strictly: it must be completed, and of this form. Others are ignored."""
        canonical = response.canonical
        if canonical and not self.is_own(canonical):
            return
        if issue := self._issue(response, part.path):
            yield issue
            return
        days = days_of(response.authored) if response.authored else None
        if response.authored and days is None:
            yield bundle_issue(RejectionCode.WRONG_TYPE, f"{part.path}.authored", "must be a date")
            return
        answers = self.answers(response, part.path)
        if isinstance(answers, BundleIssue):
            yield answers
            return
        for place in answers.others:
            text = "is not a question of the questionnaire; omit it"
            yield bundle_issue(RejectionCode.UNKNOWN_FIELD, f"{place}.linkId", text)
        for element in answers.elements:
            yield self._observations.value_of(part, element, days)

    def _issue(self, response: SentResponse, path: str) -> BundleIssue | None:
        if not response.canonical:
            text = f"must be the URL of the questionnaire, which ends in {self._mapping.questionnaire_path}"
            return bundle_issue(RejectionCode.MISSING_FIELD, f"{path}.questionnaire", text)
        if self.is_other_version(response.canonical):
            text = f"must be of version {self._mapping.table.version} of the questionnaire"
            return bundle_issue(RejectionCode.IMPOSSIBLE_CODE, f"{path}.questionnaire", text)
        if response.status not in ANSWERED:
            text = f"the status must be {' or '.join(ANSWERED)}; omit other QuestionnaireResponses"
            return bundle_issue(RejectionCode.IMPOSSIBLE_CODE, f"{path}.status", text)
        if response.modifier_extension is not UNSET or response.implicit_rules is not UNSET:
            text = "has a modifierExtension or implicitRules, which may change its meaning and are not supported"
            return bundle_issue(RejectionCode.UNSUPPORTED_CODING, path, text)
        return None


def as_observation(response: SentResponse) -> SentObservation:
    """Return what an Observation with the answers would say of itself, so that the same rules choose among both."""
    status = response.status if response.status in _UNFINISHED else ANSWERED.get(response.status, "")
    return SentObservation(
        status=status,
        subject=response.subject,
        effective_date_time=response.authored,
        modifier_extension=response.modifier_extension,
        implicit_rules=response.implicit_rules,
    )


class _Placed(msgspec.Struct, frozen=True):
    """An item, its FHIRPath, and a modifierExtension of it or of what it is inside."""

    item: SentItem
    path: str
    modifier: Optional

    def inner(self) -> Iterator[_Placed]:
        """Yield the items of a group, and those inside of answers."""
        for place, each in enumerate(self.item.item):
            yield _placed(each, f"{self.path}.item[{place}]", self.modifier)
        for number, answer in enumerate(self.item.answer):
            modifier = _first(answer.modifier_extension, self.modifier)
            for place, each in enumerate(answer.item):
                yield _placed(each, f"{self.path}.answer[{number}].item[{place}]", modifier)


def _placed(item: SentItem, path: str, outer: Optional) -> _Placed:
    return _Placed(item, path, _first(item.modifier_extension, outer))


def _first(inner: Optional, outer: Optional) -> Optional:
    return outer if inner is UNSET else inner


def _items(response: SentResponse, path: str) -> Iterator[_Placed]:
    """Yield all items in their order; without recursion, as a crafted body may nest them."""
    waiting = [_placed(each, f"{path}.item[{place}]", UNSET) for place, each in enumerate(response.item)][::-1]
    while waiting:
        placed = waiting.pop()
        yield placed
        waiting += [*placed.inner()][::-1]


def _element(measure: Measure, given: Sequence[tuple[_Placed, int]]) -> ValueElement:
    """Return the last answer of a question, which is an error if it is not the only one.

    A number of a quantity is in the unit of the question.
    """
    placed, number = given[-1]
    answer = placed.item.answer[number]
    modifier = _first(answer.modifier_extension, placed.modifier)
    value = msgspec.structs.replace(_value(measure, answer), modifier_extension=modifier)
    return ValueElement(measure, value, f"{placed.path}.answer[{number}]", len(given) > 1, is_answer=True)


def _given(answer: SentAnswer) -> list[str]:
    return [name for name in _VALUES if getattr(answer, name) is not UNSET]


def _has_value(answer: SentAnswer) -> bool:
    return bool(_given(answer)) or answer.modifier_extension is not UNSET


def _value(measure: Measure, answer: SentAnswer) -> SentValue:
    given = _given(answer)
    if len(given) > 1:
        return _SEVERAL
    number = answer.value_decimal if answer.value_integer is UNSET else answer.value_integer
    if isinstance(number, int | float) and measure.units:
        return SentValue(value_quantity=SentQuantity(float(number), UCUM, measure.unit))
    if isinstance(answer.value_coding, SentCoding):
        return SentValue(value_codeable_concept=SentConcept((answer.value_coding,)))
    if not _SAME.issuperset(given):
        return _OTHER_TYPE
    return SentValue(
        value_quantity=answer.value_quantity, value_boolean=answer.value_boolean, value_integer=answer.value_integer
    )
