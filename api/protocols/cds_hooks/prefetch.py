"""What an EHR has prefetched, as the Bundle that the FHIR interface would have got."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec

from api.problem_details import ProblemError
from schemas.cds_hooks.requests import PrefetchEntry, PrefetchResource, PrefetchValue
from schemas.cds_hooks.service import PATIENT

_NULL: Final = b"null"
_OUTCOME: Final = "OperationOutcome"
_FAILED: Final = frozenset({"error", "fatal"})
_DAY_CHARS: Final = 10


class Prefetched(msgspec.Struct, frozen=True):
    """A Bundle of all resources, with the place of each of its entries in the prefetch.

    `unsatisfied` are the keys that the EHR did not send, or for which it sent an error. `incomplete` are those whose
    search result contains an error, or is one of several pages and not sorted.
    """

    bundle: bytes
    places: tuple[str, ...]
    unsatisfied: tuple[str, ...]
    incomplete: tuple[str, ...]

    def place_of(self, pointer: str) -> str:
        """Return where in the prefetch an element of the Bundle is, given its FHIRPath; empty if it is none."""
        head, _, rest = pointer.partition("]")
        number = head.removeprefix("Bundle.entry[")
        if not number.isdigit() or int(number) >= len(self.places):
            return ""
        place = self.places[int(number)]
        return f"{place}{rest}" if place.endswith("]") else f"{place}{rest.removeprefix('.resource')}"


def assemble(prefetch: Mapping[str, msgspec.Raw], keys: Iterable[str], patient_id: str) -> Prefetched:
    """Return the prefetched resources of these keys; other keys are ignored.

    Raises ProblemError: 412 if the Patient was not prefetched, 400 if it is another one than that of the context, or
    if a value is neither a resource nor null.
    """
    values = {key: _value(key, prefetch[key]) for key in keys if key in prefetch}
    failed = [key for key, value in values.items() if value is not None and value.resource_type == _OUTCOME]
    unsatisfied = tuple(key for key in keys if key not in prefetch or key in failed)
    _check_patient(values.get(PATIENT), patient_id)
    # A panel is found by the searches of all its fields, and counts once.
    entries = dict[bytes, str]()
    incomplete = list[str]()
    for key, value in values.items():
        if value is None or key in failed:
            continue
        if value.resource_type != "Bundle":
            entries.setdefault(b'{"resource":' + bytes(prefetch[key]) + b"}", f"prefetch.{key}")
            continue
        for place, entry in enumerate(value.entry):
            entries.setdefault(bytes(entry), f"prefetch.{key}.entry[{place}]")
        if not _is_reliable(value):
            incomplete.append(key)
    bundle = b'{"resourceType":"Bundle","type":"collection","entry":[' + b",".join(entries) + b"]}"
    return Prefetched(bundle, tuple(entries.values()), unsatisfied, tuple(incomplete))


def missing_prefetch(keys: Sequence[str]) -> ProblemError:
    """Return the error for data that were not prefetched: the gateway fetches nothing."""
    detail = (
        f"Missing prefetch: {', '.join(keys)}. Send what the templates of the service ask for (null if there is no "
        "data): the service does not call the FHIR server."
    )
    return ProblemError(HTTPStatus.PRECONDITION_FAILED, detail)


def _value(key: str, raw: msgspec.Raw) -> PrefetchValue | None:
    """Return the type of a prefetched resource, and the entries of a Bundle; None for null."""
    if bytes(raw) == _NULL:
        return None
    try:
        return msgspec.json.decode(raw, type=PrefetchValue)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, f"prefetch.{key} must be a FHIR resource, a searchset Bundle or null."
        ) from None


def _check_patient(patient: PrefetchValue | None, patient_id: str) -> None:
    if patient is None or patient.resource_type == _OUTCOME:
        raise missing_prefetch([PATIENT])
    if patient.resource_type != "Patient" or patient.id != patient_id:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, f"prefetch.{PATIENT} must be the Patient whose id is context.patientId."
        )


def _is_reliable(result: PrefetchValue) -> bool:
    """Return whether a search result has no error, and the latest resources if it is one of several pages.

    It has these if it is sorted as the template asks.
    """
    found = [_resource(each) for each in result.entry]
    if any(issue.severity in _FAILED for each in found if each.resource_type == _OUTCOME for issue in each.issue):
        return False
    days = [each.effective_date_time[:_DAY_CHARS] for each in found if each.effective_date_time]
    has_next = any(link.relation == "next" for link in result.link)
    return not has_next or days == sorted(days, reverse=True)


def _resource(entry: msgspec.Raw) -> PrefetchResource:
    try:
        return msgspec.json.decode(entry, type=PrefetchEntry).resource
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # What is wrong with an entry, the reading of the Bundle says.
        return PrefetchResource()
