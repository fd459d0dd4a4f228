"""An Observation as what it tells: which field, and its number in the unit of the field."""

from __future__ import annotations

import math
from typing import Final

import msgspec
from msgspec import UNSET

from api.protocols.fhir.bundle import Complaint, Part, complaint
from api.protocols.fhir.dates import Days, days_of
from schemas.errors import RejectionCode
from schemas.features import FEATURES
from schemas.fhir.mapping import BLOOD_PRESSURE_PANEL, BY_CODE, CODED, FINAL, FLAGS, LOINC, OWN, UCUM, Cut, Measure
from schemas.fhir.requests import SentConcept, SentObservation, SentQuantity, SentValue

_FEATURES: Final = {feature.name: feature for feature in FEATURES}
_LONGEST_CODE: Final = 3
_DECIMALS: Final = 6
_VALUES: Final = tuple(field.name for field in msgspec.structs.fields(SentValue) if field.name.startswith("value_"))


class Observed(msgspec.Struct, frozen=True):
    """What an Observation tells: a field's number, None where it was not measured; and how it was made."""

    field: str
    value: float | None
    at: str
    reference: str
    days: Days | None
    note: str = ""


class _Told(msgspec.Struct, frozen=True):
    """A number, and what was done to it."""

    value: float | None
    note: str = ""


def observed_in(part: Part, observation: SentObservation) -> Observed | Complaint:
    """Return what an Observation tells."""
    at = part.at
    if observation.modifier_extension is not UNSET or observation.implicit_rules is not UNSET:
        text = "has a modifierExtension or implicitRules, which change its meaning; none is known here"
        return complaint(RejectionCode.UNSUPPORTED_CODING, at, text)
    measure, holder, at = _measure(observation, at)
    if measure is None:
        text = "no code is one that is read here (docs/fhir.md), or they mean different fields; leave it out"
        return complaint(RejectionCode.UNKNOWN_FIELD, f"{at}.code", text)
    field = measure.field
    if observation.status not in FINAL:
        text = f"{field}: only what is {', '.join(FINAL)} counts; leave others out"
        return complaint(RejectionCode.IMPOSSIBLE_CODE, f"{part.at}.status", text, field)
    days = _days(observation)
    if isinstance(days, str):
        return complaint(RejectionCode.WRONG_TYPE, f"{part.at}.effective", days, field)
    told = _told(measure, holder, at)
    if isinstance(told, Complaint):
        return told
    return Observed(field, told.value, at, part.reference, days, told.note)


def _measure(observation: SentObservation, at: str) -> tuple[Measure | None, SentValue, str]:
    """Find the code that is known, and what holds its value: the Observation, or a part of a blood pressure panel."""
    found = _known(observation.code)
    codes = {(coding.system, coding.code) for coding in observation.code.coding}
    if found is None and (LOINC, BLOOD_PRESSURE_PANEL) in codes:
        for place, component in enumerate(observation.component):
            if (inner := _known(component.code)) is not None and inner.field == "trestbps":
                return inner, component, f"{at}.component[{place}]"
    return found, observation, at


def _known(concept: SentConcept) -> Measure | None:
    """Return the measure that the codes mean, all of which must mean the same field."""
    codes = ((coding.system, coding.code) for coding in concept.coding)
    known = [BY_CODE[code] for code in codes if code in BY_CODE]
    if len({measure.field for measure in known}) != 1:
        return None
    return max(known, key=lambda measure: bool(measure.units))


def _days(observation: SentObservation) -> Days | str | None:
    """Return when it was observed, None where that is not told; a text says what is wrong."""
    period = observation.effective_period
    told = observation.effective_date_time or observation.effective_instant or period.end or period.start
    if not told:
        return None
    return days_of(told) or "is no date"


def _told(measure: Measure, holder: SentValue, at: str) -> _Told | Complaint:
    field = measure.field
    given = [name for name in _VALUES if getattr(holder, name) is not UNSET]
    if holder.modifier_extension is not UNSET:
        return complaint(
            RejectionCode.UNSUPPORTED_CODING, at, f"{field}: has a modifierExtension, which is not known", field
        )
    if not given and holder.data_absent_reason is not UNSET:
        return _Told(None)
    if not given:
        text = f"{field}: has neither a value nor a dataAbsentReason; send {_expected(measure)}"
        return complaint(RejectionCode.MISSING_VALUE, at, text, field)
    if len(given) > 1 or holder.data_absent_reason is not UNSET:
        return complaint(
            RejectionCode.DUPLICATE_FIELD, at, f"{field}: must have one value, or a dataAbsentReason", field
        )
    return _checked(measure, _read(measure, holder, at), at)


def _read(measure: Measure, holder: SentValue, at: str) -> _Told | Complaint:
    """Read the one value that is there, by its type."""
    quantity, concept, field = holder.value_quantity, holder.value_codeable_concept, measure.field
    if isinstance(quantity, SentQuantity) and measure.units:
        return _quantity(measure, quantity, f"{at}.value")
    if measure.system == OWN and field in CODED:
        if isinstance(concept, SentConcept):
            return _coded(field, concept, f"{at}.value")
        if isinstance(holder.value_integer, int):
            return _Told(float(holder.value_integer))
        if isinstance(holder.value_boolean, bool) and field in FLAGS:
            return _Told(float(holder.value_boolean))
    return complaint(RejectionCode.WRONG_TYPE, f"{at}.value", f"{field}: must be {_expected(measure)}", field)


def _expected(measure: Measure) -> str:
    if measure.units:
        return f"a valueQuantity in {' or '.join(measure.units)} (UCUM)"
    boolean = " or valueBoolean" if measure.field in FLAGS else ""
    return f"a code of {OWN}:{measure.field} as valueCodeableConcept, or its number as valueInteger{boolean}"


def _quantity(measure: Measure, quantity: SentQuantity, at: str) -> _Told | Complaint:
    field = measure.field
    if quantity.comparator is not UNSET:
        return complaint(RejectionCode.IMPOSSIBLE_CODE, f"{at}.comparator", f"{field}: an exact value is needed", field)
    if isinstance(quantity.value, msgspec.UnsetType):
        return complaint(RejectionCode.MISSING_VALUE, at, f"{field}: the quantity has no value", field)
    factor = measure.units.get(quantity.code) if quantity.system == UCUM else None
    if factor is None:
        text = f"{field}: the unit must be {' or '.join(measure.units)}, as a code of {UCUM}"
        return complaint(RejectionCode.UNSUPPORTED_CODING, f"{at}.code", text, field)
    scale = f"from {quantity.code} (x {factor:g})" if factor != 1 else ""
    if measure.cut is not None:
        return _flag(field, measure.cut, quantity.value * factor, at, scale)
    return _converted(field, quantity.value, factor, scale)


def _converted(field: str, value: float, factor: float, scale: str) -> _Told:
    """Give a number the field's unit. What was sent in that unit stays as it is, also where that is no whole number."""
    if not scale or not math.isfinite(value * factor):
        return _Told(value)
    if _FEATURES[field].whole:
        return _Told(float(round(value * factor)), f"{field} was converted {scale} and rounded.")
    return _Told(round(value * factor, _DECIMALS), f"{field} was converted {scale}.")


def _flag(field: str, cut: Cut, number: float, at: str, scale: str) -> _Told | Complaint:
    """Say whether a quantity is over what the field asks for."""
    if not cut.lowest <= number <= cut.highest:
        text = f"{field}: must be {cut.lowest:g} to {cut.highest:g} mg/dL"
        return complaint(RejectionCode.OUT_OF_RANGE, at, text, field)
    converted = f", converted {scale}," if scale else ""
    return _Told(
        float(number > cut.above), f"{field} says whether the quantity sent{converted} is over {cut.above:g} mg/dL."
    )


def _coded(field: str, concept: SentConcept, at: str) -> _Told | Complaint:
    """Read a code of ours. Whether it is one of the field's, the core says, which knows what it may be meant to be."""
    system = f"{OWN}:{field}"
    codes = {coding.code for coding in concept.coding if coding.system == system}
    if not codes:
        return complaint(RejectionCode.UNSUPPORTED_CODING, at, f"{field}: must have a code of {system}", field)
    if len(codes) > 1:
        return complaint(RejectionCode.DUPLICATE_FIELD, at, f"{field}: has more than one code of {system}", field)
    (code,) = codes
    if not (code.isascii() and code.isdigit() and len(code) <= _LONGEST_CODE):
        return complaint(RejectionCode.IMPOSSIBLE_CODE, at, f"{field}: must be a code of {system}", field)
    return _Told(float(int(code)))


def _checked(measure: Measure, told: _Told | Complaint, at: str) -> _Told | Complaint:
    """Refuse numbers that stand for "missing" in a record: here, what was not measured is told in so many words."""
    if isinstance(told, _Told) and told.value in _FEATURES[measure.field].missing:
        text = f"{measure.field}: impossible; what was not measured has a dataAbsentReason or is left out"
        return complaint(RejectionCode.OUT_OF_RANGE, at, text, measure.field)
    return told
