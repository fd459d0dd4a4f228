"""Parsing an Observation into a field and its value, in the unit of the field."""

from __future__ import annotations

import math
from collections.abc import Container
from typing import Final

import msgspec
from msgspec import UNSET

from api.protocols.fhir.bundle import BundleIssue, BundleResource, bundle_issue
from api.protocols.fhir.dates import Days, days_of
from schemas.errors import RejectionCode
from schemas.fhir.mapping import FINAL, UCUM, Cut, FhirMapping, Measure
from schemas.fhir.requests import SentConcept, SentObservation, SentQuantity, SentResponse, SentValue
from schemas.tables.feature_table import Feature

_MAX_CODE_DIGITS: Final = 3
_DECIMALS: Final = 6
_AMBIGUOUS: Final = "ambiguous"
_VALUES: Final = tuple(field.name for field in msgspec.structs.fields(SentValue) if field.name.startswith("value_"))


class ObservedField(msgspec.Struct, frozen=True):
    """The value of a field from an Observation, None if it was not measured; `note` says how it was converted.

    The value of a code that is a text is its position. `is_answer` if it is from a QuestionnaireResponse.
    """

    field: str
    value: float | None
    path: str
    reference: str
    days: Days | None
    note: str = ""
    is_answer: bool = False


class _Value(msgspec.Struct, frozen=True):
    """A number, and how it was converted."""

    value: float | None
    note: str = ""


class ValueElement(msgspec.Struct, frozen=True):
    """The element of an Observation with a value: the Observation itself, or a component of a panel.

    `is_repeated` if the panel has another component of the same field. `is_answer`: it is one of a
    QuestionnaireResponse, and its value is written as that of an Observation.
    """

    measure: Measure
    value: SentValue
    path: str
    is_repeated: bool = False
    is_answer: bool = False

    @property
    def is_absent(self) -> bool:
        """Whether it has no value."""
        return not any(getattr(self.value, name) is not UNSET for name in _VALUES)


class ObservationParser:
    """Parses Observations of the fields of a feature table.

    `lenient`: units are also accepted as systems write them, numbers of whole fields are rounded, and a code may need
    a statement of fasting.
    """

    def __init__(self, mapping: FhirMapping, *, lenient: bool = False) -> None:
        self._mapping = mapping
        self._features = mapping.table.by_name
        self._lenient = lenient
        self._by_code = {code: each for code, each in mapping.by_code.items() if lenient or not each.fasting}

    def parse(self, part: BundleResource, observation: SentObservation) -> list[ObservedField | BundleIssue]:
        """Parse an Observation: one field, or those of a panel's components."""
        path = part.path
        if observation.modifier_extension is not UNSET or observation.implicit_rules is not UNSET:
            text = "has a modifierExtension or implicitRules, which may change its meaning and are not supported"
            return [bundle_issue(RejectionCode.UNSUPPORTED_CODING, path, text)]
        if observation.focus is not UNSET:
            text = "is about its focus, not about the Patient; omit it"
            return [bundle_issue(RejectionCode.IMPOSSIBLE_CODE, f"{path}.focus", text)]
        if found := self.elements(observation, path):
            return [self._parse_element(part, observation, element) for element in found]
        text = "no known code (see docs/fhir.md), or codes of different fields; omit this Observation"
        return [bundle_issue(RejectionCode.UNKNOWN_FIELD, f"{path}.code", text)]

    def _parse_element(
        self, part: BundleResource, observation: SentObservation, element: ValueElement
    ) -> ObservedField | BundleIssue:
        field = element.measure.field
        if observation.status not in FINAL:
            text = f"{field}: the status must be {', '.join(FINAL)}; omit other Observations"
            return bundle_issue(RejectionCode.IMPOSSIBLE_CODE, f"{part.path}.status", text, field)
        days = days_of(effective) if (effective := effective_of(observation)) else None
        if effective and not days:
            return bundle_issue(RejectionCode.WRONG_TYPE, f"{part.path}.effective", "must be a date", field)
        return self.value_of(part, element, days)

    def value_of(self, part: BundleResource, element: ValueElement, days: Days | None) -> ObservedField | BundleIssue:
        """Return the value of an element, whatever the status of its Observation."""
        field = element.measure.field
        if element.is_repeated:
            what = (
                "response has more than one answer" if element.is_answer else "Observation has more than one component"
            )
            text = f"{field}: the {what} of this field; send only the relevant one"
            path = element.path if element.is_answer else part.path
            return bundle_issue(RejectionCode.DUPLICATE_FIELD, path, text, field)
        reported = self._field_value(element)
        if isinstance(reported, BundleIssue):
            return reported
        is_answer = isinstance(part.resource, SentResponse)
        return ObservedField(field, reported.value, element.path, part.reference, days, reported.note, is_answer)

    def elements(self, observation: SentObservation, path: str) -> list[ValueElement]:
        """Return the element of a known code: the Observation, or the component of each field of a panel."""
        if found := self._measure_of_codes(observation.code):
            return [ValueElement(found, observation, path)]
        codes = [(coding.system, coding.code) for coding in observation.code.coding]
        fields = set().union(*(self._mapping.panels.get(code, ()) for code in codes))
        by_field: dict[str, ValueElement] = {}
        for index, component in enumerate(observation.component if fields else ()):
            inner = self._measure_of_codes(component.code)
            if inner is not None and inner.field in fields:
                is_repeated = inner.field in by_field
                by_field[inner.field] = ValueElement(inner, component, f"{path}.component[{index}]", is_repeated)
        return list(by_field.values())

    def _measure_of_codes(self, concept: SentConcept) -> Measure | None:
        """Return the measure of the codes, which must all mean the same field; rather one that needs no statement."""
        by_code = self._by_code
        codes = ((coding.system, coding.code) for coding in concept.coding)
        known = [by_code[code] for code in codes if code in by_code]
        if len({measure.field for measure in known}) != 1:
            return None
        return max(known, key=lambda measure: (bool(measure.units), not measure.fasting))

    def _field_value(self, sent: ValueElement) -> _Value | BundleIssue:
        measure, element, path, field = sent.measure, sent.value, sent.path, sent.measure.field
        given = [name for name in _VALUES if getattr(element, name) is not UNSET]
        if element.modifier_extension is not UNSET:
            text = f"{field}: has an unknown modifierExtension"
            return bundle_issue(RejectionCode.UNSUPPORTED_CODING, path, text, field)
        if not given and element.data_absent_reason is not UNSET:
            return _Value(None)
        if not given:
            text = f"{field}: has neither a value nor a dataAbsentReason; send {self._expected(sent)}"
            return bundle_issue(RejectionCode.MISSING_VALUE, path, text, field)
        if len(given) > 1 or element.data_absent_reason is not UNSET:
            return bundle_issue(
                RejectionCode.DUPLICATE_FIELD, path, f"{field}: must have one value, or a dataAbsentReason", field
            )
        return self._reject_missing_numbers(measure, self._parse_value(sent), path)

    def _parse_value(self, sent: ValueElement) -> _Value | BundleIssue:
        """Parse the value, by its type."""
        measure, element, path = sent.measure, sent.value, sent.path
        quantity, concept = element.value_quantity, element.value_codeable_concept
        feature = self._features[measure.field]
        if isinstance(quantity, SentQuantity) and measure.units:
            return self._parse_uncoded(measure, quantity, f"{path}.value")
        if measure.system == self._mapping.system and feature.codes:
            if isinstance(concept, SentConcept):
                return self._parse_code(feature, concept, f"{path}.value")
            if isinstance(element.value_integer, int) and not feature.labels:
                return _Value(float(element.value_integer))
            if isinstance(element.value_boolean, bool) and feature.name in self._mapping.flags:
                return _Value(float(element.value_boolean))
        text = f"{feature.name}: must be {self._expected(sent)}"
        return bundle_issue(RejectionCode.WRONG_TYPE, f"{path}.value", text, feature.name)

    def _expected(self, sent: ValueElement) -> str:
        measure = sent.measure
        if measure.units:
            number = f"a number in {self._features[measure.field].unit}, or " if sent.is_answer else ""
            return f"{number}a valueQuantity in {' or '.join(measure.units)} (UCUM)"
        number = "" if self._features[measure.field].labels else ", or its number as valueInteger"
        concept = "valueCoding" if sent.is_answer else "valueCodeableConcept"
        boolean = " or valueBoolean" if measure.field in self._mapping.flags else ""
        return f"a code of {self._mapping.system}:{measure.field} as {concept}{number}{boolean}"

    def _parse_quantity(self, measure: Measure, quantity: SentQuantity, path: str) -> _Value | BundleIssue:
        field = measure.field
        if quantity.comparator is not UNSET:
            text = f"{field}: the value must be exact, without a comparator"
            return bundle_issue(RejectionCode.IMPOSSIBLE_CODE, f"{path}.comparator", text, field)
        if isinstance(quantity.value, msgspec.UnsetType):
            return bundle_issue(RejectionCode.MISSING_VALUE, path, f"{field}: the quantity has no value", field)
        units = {**measure.other_units, **measure.units} if self._lenient else measure.units
        unit = self._unit_of(measure, quantity)
        if unit is None or unit not in units:
            text = f"{field}: the unit must be {' or '.join(measure.units)}, as a code of {UCUM}"
            return bundle_issue(RejectionCode.UNSUPPORTED_CODING, f"{path}.code", text, field)
        factor = units[unit]
        by_text = measure.unit_of(quantity.unit) if self._lenient and quantity.unit else None
        if by_text and units[by_text] != factor:
            text = f"{field}: code and unit of the quantity contradict each other"
            return bundle_issue(RejectionCode.UNSUPPORTED_CODING, f"{path}.unit", text, field)
        scale = f"from {unit} (x {factor:g})" if factor != 1 else ""
        if measure.cut is not None:
            return _flag(field, measure.cut, quantity.value * factor, path, scale)
        converted = _converted(self._features[field], quantity.value, factor, scale)
        return self._rounded(field, converted) if self._lenient else converted

    def _parse_uncoded(self, measure: Measure, quantity: SentQuantity, path: str) -> _Value | BundleIssue:
        """Parse a quantity, and say so if its unit is known by its text only."""
        parsed = self._parse_quantity(measure, quantity, path)
        if isinstance(parsed, BundleIssue) or not self._lenient or _ucum_code_of(quantity):
            return parsed
        note = f"The unit of {measure.field} was read from its text, as it has no UCUM code."
        return _Value(parsed.value, f"{parsed.note} {note}".lstrip())

    def _unit_of(self, measure: Measure, quantity: SentQuantity) -> str | None:
        if self._lenient:
            return measure.unit_of(_ucum_code_of(quantity) or quantity.unit)
        return quantity.code if quantity.system == UCUM else None

    def _rounded(self, field: str, number: _Value) -> _Value:
        """Round the number of a whole field, an age down to completed years."""
        value = number.value
        if not self._features[field].whole or value is None or not math.isfinite(value) or value.is_integer():
            return number
        if field == self._mapping.operation.age:
            return _Value(float(math.floor(value)), f"{field} was rounded down to completed years.")
        return _Value(float(round(value)), f"{field} was rounded to a whole number.")

    def _parse_code(self, feature: Feature, concept: SentConcept, path: str) -> _Value | BundleIssue:
        """Parse a code of our own system. The core validates that a number is one of the field's codes."""
        field, system = feature.name, f"{self._mapping.system}:{feature.name}"
        codes = {coding.code for coding in concept.coding if coding.system == system}
        if not codes:
            return bundle_issue(RejectionCode.UNSUPPORTED_CODING, path, f"{field}: must have a code of {system}", field)
        if len(codes) > 1:
            text = f"{field}: has more than one code of {system}"
            return bundle_issue(RejectionCode.DUPLICATE_FIELD, path, text, field)
        (code,) = codes
        if code in feature.labels:
            return _Value(float(feature.labels.index(code)))
        if feature.labels or not (code.isascii() and code.isdigit() and len(code) <= _MAX_CODE_DIGITS):
            return bundle_issue(RejectionCode.IMPOSSIBLE_CODE, path, f"{field}: must be a code of {system}", field)
        return _Value(float(int(code)))

    def _reject_missing_numbers(
        self, measure: Measure, reported: _Value | BundleIssue, path: str
    ) -> _Value | BundleIssue:
        """Reject numbers that mean "missing" in a record: FHIR has dataAbsentReason for that."""
        if isinstance(reported, _Value) and reported.value in self._features[measure.field].missing:
            text = f"{measure.field}: impossible value; if it was not measured, send a dataAbsentReason or omit it"
            return bundle_issue(RejectionCode.OUT_OF_RANGE, path, text, measure.field)
        return reported


def has_code(concept: SentConcept, codes: Container[tuple[str, str]]) -> bool:
    """Return whether a concept has one of some codes, each with its system."""
    return any((coding.system, coding.code) in codes for coding in concept.coding)


def _ucum_code_of(quantity: SentQuantity) -> str:
    """Return the code of a unit; empty if it has none, or one of another system than UCUM."""
    return quantity.code if quantity.system.rstrip("/") in {"", UCUM} else ""


def effective_of(observation: SentObservation) -> str:
    """Return the date of an Observation, the end of a period, as it was sent; empty if it has none.

    With several dates, or a timing, it is a text that is not a date.
    """
    period = observation.effective_period
    dates = (observation.effective_date_time, observation.effective_instant, period.end or period.start)
    given = [each for each in dates if each]
    if len(given) > 1 or observation.effective_timing is not UNSET:
        return _AMBIGUOUS
    return given[0] if given else ""


def _converted(feature: Feature, value: float, factor: float, scale: str) -> _Value:
    """Convert a number to the field's unit. A value in that unit stays as it is, even if it is not whole."""
    if not scale or not math.isfinite(value * factor):
        return _Value(value)
    if feature.whole:
        return _Value(float(round(value * factor)), f"{feature.name} was converted {scale} and rounded.")
    return _Value(round(value * factor, _DECIMALS), f"{feature.name} was converted {scale}.")


def _flag(field: str, cut: Cut, number: float, path: str, scale: str) -> _Value | BundleIssue:
    """Convert a quantity to a flag: whether it is above the field's limit."""
    if not cut.lowest <= number <= cut.highest:
        text = f"{field}: must be {cut.lowest:g} to {cut.highest:g} {cut.unit}"
        return bundle_issue(RejectionCode.OUT_OF_RANGE, path, text, field)
    converted = f", converted {scale}," if scale else ""
    note = f"{field} says whether the quantity sent{converted} is over {cut.above:g} {cut.unit}."
    return _Value(float(number > cut.above), note)
