"""Parsing an Observation into a field and its value, in the unit of the field."""

from __future__ import annotations

import math
from typing import Final

import msgspec
from msgspec import UNSET

from api.protocols.fhir.bundle import BundleIssue, BundleResource, bundle_issue
from api.protocols.fhir.dates import Days, days_of
from schemas.errors import RejectionCode
from schemas.fhir.mapping import BLOOD_PRESSURE_PANEL, BY_CODE, CODED, FINAL, FLAGS, LOINC, OWN, UCUM, Cut, Measure
from schemas.fhir.requests import SentConcept, SentObservation, SentQuantity, SentValue
from schemas.tables.builtin import UCI_HEART

_FEATURES: Final = UCI_HEART.by_name
_MAX_CODE_DIGITS: Final = 3
_DECIMALS: Final = 6
_VALUES: Final = tuple(field.name for field in msgspec.structs.fields(SentValue) if field.name.startswith("value_"))


class ObservedField(msgspec.Struct, frozen=True):
    """The value of a field from an Observation, None if it was not measured; `note` says how it was converted."""

    field: str
    value: float | None
    path: str
    reference: str
    days: Days | None
    note: str = ""


class _Value(msgspec.Struct, frozen=True):
    """A number, and how it was converted."""

    value: float | None
    note: str = ""


def parse_observation(part: BundleResource, observation: SentObservation) -> ObservedField | BundleIssue:
    """Parse an Observation."""
    path = part.path
    if observation.modifier_extension is not UNSET or observation.implicit_rules is not UNSET:
        text = "has a modifierExtension or implicitRules, which may change its meaning and are not supported"
        return bundle_issue(RejectionCode.UNSUPPORTED_CODING, path, text)
    measure, element, path = _find_measure(observation, path)
    if measure is None:
        text = "no known code (see docs/fhir.md), or codes of different fields; omit this Observation"
        return bundle_issue(RejectionCode.UNKNOWN_FIELD, f"{path}.code", text)
    field = measure.field
    if observation.status not in FINAL:
        text = f"{field}: the status must be {', '.join(FINAL)}; omit other Observations"
        return bundle_issue(RejectionCode.IMPOSSIBLE_CODE, f"{part.path}.status", text, field)
    days = _observed_days(observation)
    if isinstance(days, str):
        return bundle_issue(RejectionCode.WRONG_TYPE, f"{part.path}.effective", days, field)
    reported = _field_value(measure, element, path)
    if isinstance(reported, BundleIssue):
        return reported
    return ObservedField(field, reported.value, path, part.reference, days, reported.note)


def _find_measure(observation: SentObservation, path: str) -> tuple[Measure | None, SentValue, str]:
    """Return the known code and the element with its value: the Observation, or a component of a panel."""
    found = _measure_of_codes(observation.code)
    codes = {(coding.system, coding.code) for coding in observation.code.coding}
    if found is None and (LOINC, BLOOD_PRESSURE_PANEL) in codes:
        for index, component in enumerate(observation.component):
            if (inner := _measure_of_codes(component.code)) is not None and inner.field == "trestbps":
                return inner, component, f"{path}.component[{index}]"
    return found, observation, path


def _measure_of_codes(concept: SentConcept) -> Measure | None:
    """Return the measure of the codes, which must all mean the same field."""
    codes = ((coding.system, coding.code) for coding in concept.coding)
    known = [BY_CODE[code] for code in codes if code in BY_CODE]
    if len({measure.field for measure in known}) != 1:
        return None
    return max(known, key=lambda measure: bool(measure.units))


def _observed_days(observation: SentObservation) -> Days | str | None:
    """Return when it was observed, None if unknown, an error message if invalid."""
    period = observation.effective_period
    reported = observation.effective_date_time or observation.effective_instant or period.end or period.start
    if not reported:
        return None
    return days_of(reported) or "must be a date"


def _field_value(measure: Measure, element: SentValue, path: str) -> _Value | BundleIssue:
    field = measure.field
    given = [name for name in _VALUES if getattr(element, name) is not UNSET]
    if element.modifier_extension is not UNSET:
        return bundle_issue(RejectionCode.UNSUPPORTED_CODING, path, f"{field}: has an unknown modifierExtension", field)
    if not given and element.data_absent_reason is not UNSET:
        return _Value(None)
    if not given:
        text = f"{field}: has neither a value nor a dataAbsentReason; send {_expected(measure)}"
        return bundle_issue(RejectionCode.MISSING_VALUE, path, text, field)
    if len(given) > 1 or element.data_absent_reason is not UNSET:
        return bundle_issue(
            RejectionCode.DUPLICATE_FIELD, path, f"{field}: must have one value, or a dataAbsentReason", field
        )
    return _reject_missing_numbers(measure, _parse_value(measure, element, path), path)


def _parse_value(measure: Measure, element: SentValue, path: str) -> _Value | BundleIssue:
    """Parse the value, by its type."""
    quantity, concept, field = element.value_quantity, element.value_codeable_concept, measure.field
    if isinstance(quantity, SentQuantity) and measure.units:
        return _parse_quantity(measure, quantity, f"{path}.value")
    if measure.system == OWN and field in CODED:
        if isinstance(concept, SentConcept):
            return _parse_code(field, concept, f"{path}.value")
        if isinstance(element.value_integer, int):
            return _Value(float(element.value_integer))
        if isinstance(element.value_boolean, bool) and field in FLAGS:
            return _Value(float(element.value_boolean))
    return bundle_issue(RejectionCode.WRONG_TYPE, f"{path}.value", f"{field}: must be {_expected(measure)}", field)


def _expected(measure: Measure) -> str:
    if measure.units:
        return f"a valueQuantity in {' or '.join(measure.units)} (UCUM)"
    boolean = " or valueBoolean" if measure.field in FLAGS else ""
    return f"a code of {OWN}:{measure.field} as valueCodeableConcept, or its number as valueInteger{boolean}"


def _parse_quantity(measure: Measure, quantity: SentQuantity, path: str) -> _Value | BundleIssue:
    field = measure.field
    if quantity.comparator is not UNSET:
        return bundle_issue(
            RejectionCode.IMPOSSIBLE_CODE,
            f"{path}.comparator",
            f"{field}: the value must be exact, without a comparator",
            field,
        )
    if isinstance(quantity.value, msgspec.UnsetType):
        return bundle_issue(RejectionCode.MISSING_VALUE, path, f"{field}: the quantity has no value", field)
    factor = measure.units.get(quantity.code) if quantity.system == UCUM else None
    if factor is None:
        text = f"{field}: the unit must be {' or '.join(measure.units)}, as a code of {UCUM}"
        return bundle_issue(RejectionCode.UNSUPPORTED_CODING, f"{path}.code", text, field)
    scale = f"from {quantity.code} (x {factor:g})" if factor != 1 else ""
    if measure.cut is not None:
        return _flag(field, measure.cut, quantity.value * factor, path, scale)
    return _converted(field, quantity.value, factor, scale)


def _converted(field: str, value: float, factor: float, scale: str) -> _Value:
    """Convert a number to the field's unit. A value in that unit stays as it is, even if it is not whole."""
    if not scale or not math.isfinite(value * factor):
        return _Value(value)
    if _FEATURES[field].whole:
        return _Value(float(round(value * factor)), f"{field} was converted {scale} and rounded.")
    return _Value(round(value * factor, _DECIMALS), f"{field} was converted {scale}.")


def _flag(field: str, cut: Cut, number: float, path: str, scale: str) -> _Value | BundleIssue:
    """Convert a quantity to a flag: whether it is above the field's limit."""
    if not cut.lowest <= number <= cut.highest:
        text = f"{field}: must be {cut.lowest:g} to {cut.highest:g} mg/dL"
        return bundle_issue(RejectionCode.OUT_OF_RANGE, path, text, field)
    converted = f", converted {scale}," if scale else ""
    return _Value(
        float(number > cut.above), f"{field} says whether the quantity sent{converted} is over {cut.above:g} mg/dL."
    )


def _parse_code(field: str, concept: SentConcept, path: str) -> _Value | BundleIssue:
    """Parse a code of our own system. The core validates that it is one of the field's codes."""
    system = f"{OWN}:{field}"
    codes = {coding.code for coding in concept.coding if coding.system == system}
    if not codes:
        return bundle_issue(RejectionCode.UNSUPPORTED_CODING, path, f"{field}: must have a code of {system}", field)
    if len(codes) > 1:
        return bundle_issue(RejectionCode.DUPLICATE_FIELD, path, f"{field}: has more than one code of {system}", field)
    (code,) = codes
    if not (code.isascii() and code.isdigit() and len(code) <= _MAX_CODE_DIGITS):
        return bundle_issue(RejectionCode.IMPOSSIBLE_CODE, path, f"{field}: must be a code of {system}", field)
    return _Value(float(int(code)))


def _reject_missing_numbers(measure: Measure, reported: _Value | BundleIssue, path: str) -> _Value | BundleIssue:
    """Reject numbers that mean "missing" in a record: FHIR has dataAbsentReason for that."""
    if isinstance(reported, _Value) and reported.value in _FEATURES[measure.field].missing:
        text = f"{measure.field}: impossible value; if it was not measured, send a dataAbsentReason or omit it"
        return bundle_issue(RejectionCode.OUT_OF_RANGE, path, text, measure.field)
    return reported
