"""What was posted, taken apart: one Bundle, its Patients and Observations, and whatever is wrong with its form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec
from msgspec import UNSET

from api.strict_json import RepeatedMemberError, refuse_repeated_members
from schemas.errors import RejectionCode, ValidationIssue
from schemas.fhir.requests import SentBundle, SentEntry, SentKind, SentObservation, SentParameters, SentPatient

_MOST_ENTRIES: Final = 1000
_MOST_OBJECTS: Final = 10 * _MOST_ENTRIES
"""JSON objects in all: to read as many takes some 10 ms, in which nobody else is answered."""
_KINDS: Final[dict[str, type[SentPatient | SentObservation]]] = {
    "Patient": SentPatient,
    "Observation": SentObservation,
}
_CHOICE: Final = re.compile(r"\.value[A-Z]\w+")
"""What JSON calls valueQuantity, FHIRPath calls value."""
_Read = TypeVar("_Read")


class Complaint(msgspec.Struct, frozen=True):
    """A fault, whose pointer is a FHIRPath, and the field that cannot be told because of it."""

    fault: ValidationIssue
    field: str = ""


class Part(msgspec.Struct, frozen=True):
    """A resource of the Bundle; `at` is its FHIRPath."""

    at: str
    full_url: str
    resource: SentPatient | SentObservation

    @property
    def reference(self) -> str:
        """How others refer to it; empty where they cannot."""
        kind = "Patient" if isinstance(self.resource, SentPatient) else "Observation"
        if self.resource.id and not self.full_url.startswith(("http://", "https://")):
            return f"{kind}/{self.resource.id}"
        return self.full_url


def complaint(code: RejectionCode, at: str, text: str, field: str = "") -> Complaint:
    """Make a complaint."""
    return Complaint(ValidationIssue(code, at, text), field)


def parts_of(body: bytes) -> list[Part | Complaint] | Complaint:
    """Return the resources that are read here, and what is wrong with each other; one complaint if it is no Bundle."""
    bundle = _bundle(body)
    if isinstance(bundle, Complaint):
        return bundle
    if bundle.type != "collection":
        return complaint(RejectionCode.IMPOSSIBLE_CODE, "Bundle.type", "must be collection")
    if len(bundle.entry) > _MOST_ENTRIES:
        return complaint(RejectionCode.TOO_LARGE, "Bundle.entry", f"there are more than {_MOST_ENTRIES} entries")
    return list(_parts(bundle))


def _bundle(body: bytes) -> SentBundle | Complaint:
    if body.count(b"{") > _MOST_OBJECTS:
        return complaint(RejectionCode.TOO_LARGE, "", f"there are more than {_MOST_OBJECTS} JSON objects")
    try:
        refuse_repeated_members(body)
    except RepeatedMemberError:
        return complaint(RejectionCode.DUPLICATE_FIELD, "", "a member of a JSON object stands more than once")
    except ValueError:
        return complaint(RejectionCode.NOT_JSON, "", "the body is not a JSON document in UTF-8")
    kind = _decoded(body, SentKind, "")
    if isinstance(kind, SentKind) and kind.resource_type == "Parameters":
        return _inner(body)
    return _as_bundle(body)


def _as_bundle(body: bytes | msgspec.Raw) -> SentBundle | Complaint:
    kind = _decoded(body, SentKind, "")
    if isinstance(kind, Complaint) and kind.fault.code is RejectionCode.NOT_JSON:
        return kind
    if isinstance(kind, Complaint) or kind.resource_type != "Bundle":
        return complaint(
            RejectionCode.NOT_AN_OBJECT, "", "send a Bundle, alone or as the parameter `resource` of Parameters"
        )
    return _decoded(body, SentBundle, "Bundle")


def _inner(body: bytes) -> SentBundle | Complaint:
    """Take the Bundle out of the Parameters that it came in."""
    parameters = _decoded(body, SentParameters, "Parameters")
    if isinstance(parameters, Complaint):
        return parameters
    match parameters.parameter:
        case (only,) if only.name == "resource" and only.resource is not UNSET:
            return _as_bundle(only.resource)
    return complaint(
        RejectionCode.NOT_AN_OBJECT, "Parameters", "must have one parameter, `resource`, which is a Bundle"
    )


def _parts(bundle: SentBundle) -> Iterator[Part | Complaint]:
    for place, entry in enumerate(bundle.entry):
        found = _part(entry, f"Bundle.entry[{place}].resource")
        if found is not None:
            yield found


def _part(entry: SentEntry, at: str) -> Part | Complaint | None:
    """Read an entry; None if it is of a kind that is not read here."""
    if entry.resource is UNSET:
        return complaint(RejectionCode.MISSING_FIELD, at, "the entry has no resource")
    kind = _decoded(entry.resource, SentKind, at)
    if isinstance(kind, Complaint):
        return kind
    if not kind.resource_type:
        return complaint(RejectionCode.MISSING_FIELD, f"{at}.resourceType", "tells what the resource is")
    if kind.resource_type not in _KINDS:
        return None
    resource = _decoded(entry.resource, _KINDS[kind.resource_type], at)
    return resource if isinstance(resource, Complaint) else Part(at, entry.full_url, resource)


def _decoded(body: bytes | msgspec.Raw, kind: type[_Read], at: str) -> _Read | Complaint:
    """Read JSON as a resource.

    The decoder's text names types and elements alone, as the types here have no sets of values.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$")
        return complaint(
            RejectionCode.WRONG_TYPE, at + _CHOICE.sub(".value", path.rstrip("`").replace("[...]", "")), text
        )
    except msgspec.MsgspecError:
        return complaint(RejectionCode.NOT_JSON, at, "the body holds half of a surrogate pair, which is no character")
